// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/fd.hpp"
#include "config/config.hpp"

#include <sys/types.h>

#include <string>

namespace slipway::launcher {

struct StepOptions {
    uid_t uid = 0;
    gid_t gid = 0;
    base::UniqueFd step;   ///< the launcher's end of the step socket (launcher/join/protocol.hpp)
    base::UniqueFd parent; ///< pidfd of slurmstepd
    base::UniqueFd config; ///< site configuration, open; invalid for built-in defaults
    std::string config_path;
};

/// The life of slipway-launch inside its user namespace: says `unshared`, waits for the id maps and
/// the request, builds the container, answers `ready`, and then serves `join` until slurmstepd is
/// gone, the socket closes or SIGTERM comes. A message that is malformed, or an answer that cannot
/// be sent, refuses the task that it concerns and nobody else. At the end whatever is left in the
/// container's namespaces is killed, then the server of the image. Gives the exit code.
int supervise_step(StepOptions options);

} // namespace slipway::launcher
