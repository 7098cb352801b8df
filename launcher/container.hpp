// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/config.hpp"
#include "launcher/join/request.hpp"
#include "launcher/plan.hpp"
#include "launcher/root_image.hpp"

#include <functional>
#include <string>
#include <string_view>
#include <vector>

/// The container itself, and the door to it from the prompt. The other door, for Slurm's tasks, is
/// slipway-launch with launcher/join; both build the container with build_container().
namespace slipway::launcher {

using Warn = std::function<void(std::string_view)>;

struct BuildOptions {
    MountRootsOptions roots;
    Warn warn; ///< gets one line without newline for each warning; never empty
};

/// A finished container around the calling process: its root directory is the container's.
struct BuiltContainer {
    join::JoinRecord record;
    std::vector<base::Child> servers; ///< see MountRootsOptions::server_dies_with_us
};
/// Mounts the images, plans, mounts everything, changes the root, finds the environment. To be
/// called inside the container's user namespace, with its capabilities, single-threaded. After an
/// error the process is good for reporting it and nothing else.
base::Result<BuiltContainer> build_container(const join::Request& request,
                                             const config::Config& config,
                                             std::span<const RootImage> roots,
                                             const BuildOptions& options);

/// What the prompt's verbs need once they are inside.
struct InsideContainer {
    std::vector<std::string> environment; ///< NAME=value, complete
    std::string cwd;                      ///< where the process is now
};

/// The prompt's door (`slipway exec`, `run`, `shell`): puts the calling process, single-threaded
/// and with whatever user it has, into a container. Afterwards it is inside, in the working
/// directory, without any capability and with no_new_privs; it has no new children and may exec at
/// once. The process that serves the image ends by itself when the last process of the container is
/// gone.
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
