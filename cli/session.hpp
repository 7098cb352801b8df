// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/options.hpp"

#include <string_view>

namespace slipway::cli {

/// One call of `slipway VERB`: everything a verb may look at.
struct Session {
    Arguments arguments; ///< of the verb, global options included
    EnvironmentView environment;
};

/// Each returns the exit code of the program, or an Error that main() prints.
base::Result<int> run_help(Session& session);
base::Result<int> run_version(Session& session);
base::Result<int> run_config(Session& session);
base::Result<int> run_doctor(Session& session);
base::Result<int> run_inspect(Session& session);
base::Result<int> run_action_run(Session& session);
base::Result<int> run_action_exec(Session& session);
base::Result<int> run_action_shell(Session& session);

/// The current directory; Code::system when it is gone.
base::Result<std::string> current_directory();

} // namespace slipway::cli
