// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/env_script.hpp"
#include "launcher/join/request.hpp"
#include "launcher/views.hpp"

#include <sys/types.h>

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// The container's environment (reference native-image.md 3, 5 and 6). Precedence, low to high:
/// site file < host < image < SINGULARITYENV_/APPTAINERENV_/SLIPWAYENV_ of the caller < --env.
/// Exceptions: PATH and LD_LIBRARY_PATH of the host never enter, variables of Slurm and PMI are
/// never overridden by an image, and names that the user wants to keep (--container-env) have the
/// host's value.
namespace slipway::launcher {

inline constexpr std::string_view default_path =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What site, caller and options come to, before anybody looks into the image.
struct EnvironmentPlan {
    std::map<std::string, std::string> site; ///< launcher.env of the site file
    std::map<std::string, std::string> host; ///< goes in, unless the image sets the name
    /// Directories that LD_LIBRARY_PATH has to have, whatever image and scripts make of it.
    std::vector<std::string> library_directories;
    /// Set on top of the image, in order; later ones win. Values are shell text unless evaluation
    /// is off.
    std::vector<std::pair<std::string, std::string>> user;
    /// What the image's scripts see: HOME, names of the container, path hooks; not exported what a
    /// shell knows by itself: UID, EUID, GID.
    Variables start;
};

struct ContainerNames {
    std::string image_path;         ///< absolute path of the file or directory
    std::string reference;          ///< what the user typed
    std::string home;               ///< inside
    std::vector<std::string> binds; ///< destinations of the user's mounts
    uid_t uid = 0;
    gid_t gid = 0;
};
/// `warnings` gets what was refused.
EnvironmentPlan plan_environment(const join::Request& request,
                                 const std::map<std::string, std::string>& site,
                                 const ContainerNames& names, std::vector<std::string>& warnings);

/// Runs the image's scripts in the image's own shell, in the finished container: script text (for
/// /bin/sh -c), its environment; gives the exported variables after it.
using ShellRunner = std::function<base::Result<std::map<std::string, std::string>>(
    const std::string& script, const std::vector<std::string>& environment)>;

struct EnvironmentInput {
    const join::Request& request;
    const EnvironmentPlan& plan;
    const std::string& cwd; ///< inside
    const ImageView& image; ///< of the finished container
    ShellRunner run_shell;
};

struct ContainerEnvironment {
    std::vector<join::EnvironmentChange> changes; ///< relative to request.environment
    std::vector<std::string> warnings;
    bool used_shell = false;
};
/// Code::launcher_failed when the image's scripts cannot be run to their end.
base::Result<ContainerEnvironment> make_environment(const EnvironmentInput& input);

/// True for names that Slurm, PMI or the scheduler's devices own.
bool is_scheduler_variable(std::string_view name) noexcept;

} // namespace slipway::launcher
