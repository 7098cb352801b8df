// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/options.hpp"

#include <string_view>

namespace slipway::cli {

/// One call of `slipway VERB`: everything a verb may look at.
struct Session {
    Arguments arguments; ///< of the verb, global options included
    EnvironmentView environment;

    /// --config, or "" for the site file in force.
    [[nodiscard]] std::string site_file() const { return arguments.text("config").value_or(""); }
};

/// A verb's function: the exit code of the program, or an Error that main() prints.
using Run = base::Result<int> (*)(Session&);

// One per verb. Each is defined in one of the two programs; weak, so that the table of verbs can name all
// of them in both, where those of the other program are null.
[[gnu::weak]] base::Result<int> run_help(Session& session);
[[gnu::weak]] base::Result<int> run_version(Session& session);
[[gnu::weak]] base::Result<int> run_config(Session& session);
[[gnu::weak]] base::Result<int> run_doctor(Session& session);
[[gnu::weak]] base::Result<int> run_inspect(Session& session);
[[gnu::weak]] base::Result<int> run_run(Session& session);
[[gnu::weak]] base::Result<int> run_exec(Session& session);
[[gnu::weak]] base::Result<int> run_shell(Session& session);
namespace images {
[[gnu::weak]] base::Result<int> run_stage(Session& session);
[[gnu::weak]] base::Result<int> run_pull(Session& session);
[[gnu::weak]] base::Result<int> run_build(Session& session);
[[gnu::weak]] base::Result<int> run_images(Session& session);
[[gnu::weak]] base::Result<int> run_cache(Session& session);
} // namespace images

} // namespace slipway::cli
