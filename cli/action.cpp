// SPDX-License-Identifier: Apache-2.0
#include "cli/action.hpp"

#include "base/format.hpp"
#include "base/text.hpp"
#include "cli/env_file.hpp"

#include <algorithm>

namespace slipway::cli {
namespace {

using base::Code;
using base::fail;
using base::in_quotes;
using base::Result;
using launcher::join::Containment;
using launcher::join::MountSyntax;
using launcher::join::Switch;

Result<void> read_words(Action& action, const Arguments& arguments) {
    const auto& words = arguments.words();
    const auto verb = action_verbs.name(action.kind);
    const auto see = fmt::format("see slipway {} --help", verb);
    if (words.empty() || words.front().empty()) {
        return fail(Code::usage, fmt::format("{} needs an image", verb), see);
    }
    action.image_word = words.front();
    action.command.assign(words.begin() + 1, words.end());
    if (action.kind == ActionKind::exec && (words.size() < 2 || words[1].empty())) {
        return fail(Code::usage, "exec needs a command after the image", see);
    }
    return {};
}

void read_mounts(launcher::join::Request& request, const Arguments& arguments) {
    for (const auto& [option, value] : arguments.given()) {
        if (option->name == "bind") {
            request.mounts.push_back({MountSyntax::bind, value});
        } else if (option->name == "mount") {
            request.mounts.push_back({MountSyntax::mount_csv, value});
        }
    }
}

Result<void> read_home(launcher::join::Request& request, const Arguments& arguments) {
    const bool without = arguments.flag("no-home");
    request.mount_home = without ? Switch::off : Switch::site_default;
    const auto home = arguments.text("home");
    if (!home) {
        return {};
    }
    if (home->empty() || std::count(home->begin(), home->end(), ':') > 1) {
        return fail(Code::usage, fmt::format("--home {} is not SRC or SRC:DST", in_quotes(*home)),
                    "for other characters in paths use --mount");
    }
    // With both nothing is mounted, and HOME has the value of --home.
    request.home = *home;
    request.mount_home = without ? Switch::off : Switch::on;
    return {};
}

void read_isolation(Action& action, const Arguments& arguments) {
    const bool compat = arguments.flag("compat");
    auto& request = action.request;
    if (arguments.flag("containall") || compat) {
        request.containment = Containment::contain_all;
    } else if (arguments.flag("contain")) {
        request.containment = Containment::contain;
    }
    request.clean_environment =
        arguments.flag("cleanenv") || request.containment == Containment::contain_all;
    if (arguments.flag("writable-tmpfs") || compat) {
        request.writable = Switch::on;
    }
    request.shell_evaluation = !(arguments.flag("no-eval") || compat);
    action.reset_umask = arguments.flag("no-umask") || compat;
}

Result<void> read_directories(launcher::join::Request& request, const Arguments& arguments) {
    request.workdir = arguments.text("cwd").value_or("");
    if (!request.workdir.empty() && !request.workdir.starts_with('/')) {
        return fail(Code::usage,
                    fmt::format("--cwd {} is not an absolute path", in_quotes(request.workdir)),
                    "name a directory of the container, beginning with /");
    }
    request.scratch = arguments.list("scratch");
    for (const auto& directory : request.scratch) {
        if (!directory.starts_with('/')) {
            return fail(Code::usage,
                        fmt::format("--scratch {} is not an absolute path", in_quotes(directory)),
                        "name a directory of the container, beginning with /");
        }
    }
    request.no_mount = arguments.list("no-mount");
    for (const auto& name : request.no_mount) {
        constexpr std::string_view known[] = {"proc", "sys", "dev",        "devpts", "home",
                                              "tmp",  "cwd", "bind-paths", "hostfs"};
        if (!name.starts_with('/') &&
            std::find(std::begin(known), std::end(known), name) == std::end(known)) {
            const auto near = base::did_you_mean(name, known);
            return fail(Code::usage, "--no-mount does not know " + in_quotes(name),
                        near.empty() ? "known are proc, sys, dev, devpts, home, tmp, cwd, "
                                       "bind-paths and absolute paths"
                                     : fmt::format("did you mean {}?", near));
        }
    }
    return {};
}

} // namespace

Result<Action> read_action(ActionKind kind, const Arguments& arguments,
                           const EnvironmentView& environment, std::string_view cwd) {
    Action action;
    action.kind = kind;
    TRY(read_words(action, arguments));
    action.request.reference = action.image_word;
    action.request.cwd = cwd;
    action.request.environment = environment.variables();
    read_mounts(action.request, arguments);
    TRY(read_home(action.request, arguments));
    read_isolation(action, arguments);
    TRY(read_directories(action.request, arguments));
    action.env_files = arguments.list("env-file");
    action.env_arguments = arguments.list("env");
    action.shell = arguments.text("shell").value_or("");
    if (!action.shell.empty() && !action.shell.starts_with('/')) {
        return fail(Code::usage,
                    fmt::format("--shell {} is not an absolute path", in_quotes(action.shell)),
                    "name a program of the container, for example /bin/zsh");
    }
    action.dry_run = arguments.flag("dry-run");
    action.json = arguments.flag("json");
    if (action.json && !action.dry_run) {
        return fail(Code::usage, "--json is for --dry-run only", "leave it out, or add --dry-run");
    }
    return action;
}

Result<void> collect_variables(Action& action) {
    auto& set = action.request.set_environment;
    for (const auto& file : action.env_files) {
        TRY_ASSIGN(auto variables, read_env_file(file, action.request.environment));
        std::move(variables.begin(), variables.end(), std::back_inserter(set));
    }
    for (const auto& argument : action.env_arguments) {
        TRY_ASSIGN(auto variables, parse_env_argument(argument));
        std::move(variables.begin(), variables.end(), std::back_inserter(set));
    }
    return {};
}

} // namespace slipway::cli
