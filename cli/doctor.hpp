// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/config.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// `slipway doctor`: looks at everything that a job needs on this machine and says what to do.
namespace slipway::cli {

enum class Verdict { pass, warn, fail };

struct Finding {
    Verdict verdict = Verdict::pass;
    std::string_view check; ///< short name: "fuse"
    std::string what;       ///< one sentence
    std::string cure;       ///< what to do; empty for pass
};

/// Everything that is looked at, replaceable in tests.
struct Surroundings {
    std::string root;         ///< in front of /proc, /dev and /etc paths; "" in production
    std::string slurm_conf;   ///< $SLURM_CONF or ""
    std::string search_path;  ///< $PATH, for srun
};

Finding check_kernel(const std::string& release);
std::vector<Finding> check_programs(); ///< those that `slipway` starts
Finding check_user_namespaces(const Surroundings& around);
Finding check_fuse(const Surroundings& around);
std::vector<Finding> check_slurm(const Surroundings& around);
std::vector<Finding> check_store(const config::Config& config);
/// What `slipway images` says of the user's own store; `options` are its words.
Finding check_own_store(const std::string& images_program, const std::vector<std::string>& options,
                        const std::vector<std::string>& environment);
Finding check_service(const config::Config& config);
std::vector<Finding> check_registries(const config::Config& config);

/// Whether srun looks for the command on the host before the step has its container.
std::optional<Finding> check_launch_parameters(const std::string& slurm_conf);
/// Paths of slipway plugins that a plugstack.conf loads, `include` lines followed one level deep.
std::vector<std::string> plugins_of(const std::string& plugstack_path);
/// Both halves of one plugin: there, root's alone, and for this release ("22.05"; empty: not known).
Finding check_plugin(const std::string& path, const std::string& release);
/// The Slurm release that a plugin was built for, "22.05"; "" when it is no plugin.
std::string plugin_release(const std::string& plugin_path);

std::string findings_text(const std::vector<Finding>& findings);
std::string findings_json(const std::vector<Finding>& findings);

} // namespace slipway::cli
