// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/enum_table.hpp"
#include "cli/options.hpp"
#include "launcher/join/request.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace slipway::cli {

enum class ActionKind : std::uint8_t { run, exec, shell };
inline constexpr base::EnumTable action_verbs =
    std::array{base::EnumRow{ActionKind::run, "run"}, base::EnumRow{ActionKind::exec, "exec"},
               base::EnumRow{ActionKind::shell, "shell"}};

/// What the command line of run, exec or shell asks for. request.image is still empty: the image
/// word has not been looked at.
struct Action {
    ActionKind kind = ActionKind::exec;
    launcher::join::Request request;
    std::string image_word;
    std::vector<std::string> command; ///< exec: with the program; run and shell: arguments only
    std::string shell; ///< --shell, absolute in the container; "" for the image's choice
    std::vector<std::string> env_files;
    std::vector<std::string> env_arguments; ///< --env, in order
    bool reset_umask = false;
    bool dry_run = false;
    bool json = false;
};

/// Pure: arguments (with those of the environment added) to an Action; their values have been checked.
/// `cwd` is absolute. Code::usage for missing words and options that exclude each other.
base::Result<Action> read_action(ActionKind kind, const Arguments& arguments,
                                 const EnvironmentView& environment, std::string_view cwd);

/// Fills request.set_environment: --env-file (runs the scripts, in order), then --env; later ones
/// win. SINGULARITYENV_ and its relatives are the launcher's to read.
base::Result<void> collect_variables(Action& action);

} // namespace slipway::cli
