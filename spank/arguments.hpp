// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.hpp"
#include "launcher/join/request.hpp"

#include <span>
#include <string>

namespace slipway::spank {

/// What the administrator wrote behind the plugin's name in plugstack.conf. Root owns that file, so
/// these are trusted; they are still checked, because a mistake there hits every job.
struct Arguments {
    std::string config;        ///< config=/etc/slipway/slipway.yaml; empty: the compiled-in place
    std::string launcher;      ///< launcher=/path/of/slipway-launch; empty: find_launcher()
    std::string option_prefix; ///< option_prefix=pilot- makes --pilot-container-image
    launcher::join::Switch batch = launcher::join::Switch::off; ///< batch=container|host
};

/// Code::plugin_misconfigured for anything unknown or malformed.
base::Result<Arguments> parse_arguments(std::span<char* const> arguments);

/// The launcher to run: what plugstack.conf says, else …/libexec/slipway-launch of the build tree
/// that this plugin is in (recognised by lib/slurm), else the place where it was installed.
std::string find_program(const Arguments& arguments, const std::string& name);

/// A file that root is about to run: it, every directory on the way to it and every symlink there
/// must be root's and writable by nobody else (base/trusted_path.hpp), so that its path means the
/// same when it is run. Code::plugin_misconfigured.
base::Result<void> check_root_program(const std::string& path);

} // namespace slipway::spank
