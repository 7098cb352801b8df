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
/// gone, the socket closes or SIGTERM comes. The server of the image goes first; a slurmstepd that
/// is gone without a word takes the tasks with it. Gives the exit code.
int supervise_step(StepOptions options);

} // namespace slipway::launcher
