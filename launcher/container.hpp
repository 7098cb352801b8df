// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/config.hpp"
#include "launcher/identity.hpp"
#include "launcher/join/request.hpp"
#include "launcher/plan.hpp"
#include "launcher/root_image.hpp"

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// The container itself, and the door to it from the prompt. The other door, for Slurm's tasks, is
/// slipway-launch with launcher/join; both build the container with build_container().
namespace slipway::launcher {

using Warn = std::function<void(std::string_view)>;

/// What a container is built from. All in the order in which the images lie on each other.
struct Parts {
    const join::Request& request;
    const config::Config& config;
    std::span<const RootImage> images;
    std::vector<base::UniqueFd> mounts; ///< of mount_roots(); used up
    std::optional<UserFacts> user;      ///< where it is not whom the name service says
};

/// Plans, mounts everything, changes the root, finds the environment: afterwards the root directory
/// of the calling process is the container's. To be called inside the container's namespaces, with
/// their capabilities, single-threaded. `warn` gets one line without newline for each warning. After
/// an error the process is good for reporting it and nothing else.
base::Result<join::JoinRecord> build_container(Parts parts, const Warn& warn);

/// What the prompt's verbs need once they are inside.
struct InsideContainer {
    std::vector<std::string> environment; ///< NAME=value, complete
    std::string cwd;                      ///< where the process is now
};

/// The prompt's door (`slipway exec`, `run`, `shell`): puts the calling process, single-threaded
/// and with whatever user it has, into a container. Afterwards it is inside, in the working
/// directory, without any capability and with no_new_privs; it has no new children and may exec at
/// once. The process that serves the image ends by itself when the last process of the container is
/// gone. With a pid namespace of its own the container gets a process that stands outside of it and
/// does not come back from here (init.hpp).
///
/// The caller's SINGULARITYENV_, APPTAINERENV_ and SLIPWAYENV_ variables are taken from
/// request.environment; request.set_environment only needs --env and --env-file.
/// After an error the process may be half inside: report it and exit.
base::Result<InsideContainer> enter_container(const join::Request& request,
                                              const config::Config& config, const Warn& warn);

/// Plans the same container and mounts nothing of it but the image (`--dry-run`). The process must
/// exit afterwards, too.
base::Result<Plan> plan_container(const join::Request& request, const config::Config& config,
                                  const Warn& warn);

/// Becomes a command inside the container: looks argv[0] up in the PATH of `environment`, retries a
/// file without a format as a /bin/sh script. Only returns on error: Code::command_not_found, or
/// Code::system with the reason.
base::Error exec_inside(const std::vector<std::string>& argv,
                        const std::vector<std::string>& environment);

} // namespace slipway::launcher
