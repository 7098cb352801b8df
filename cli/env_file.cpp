// SPDX-License-Identifier: Apache-2.0
#include "cli/env_file.hpp"

#include "base/capture.hpp"
#include "base/format.hpp"
#include "base/path.hpp"
#include "base/text.hpp"
#include "base/words.hpp"

#include <algorithm>
#include <array>
#include <map>

#include <unistd.h>

namespace slipway::cli {
namespace {

using base::Code;
using base::fail;
using base::in_quotes;
using base::Result;

constexpr std::size_t max_script = 1U << 20U;
constexpr std::size_t max_environment = 4U << 20U;

/// Set by the shell itself, or read-only in one.
bool belongs_to_shell(std::string_view name) {
    constexpr std::array<std::string_view, 20> names{
        "_",   "SHLVL", "PWD", "OLDPWD",    "OPTIND",   "OPTARG",        "PPID",
        "UID", "EUID",  "GID", "SHELLOPTS", "BASHOPTS", "BASH_VERSINFO", "IFS",
        "PS1", "PS2",   "PS4", "LINENO",    "RANDOM",   "BASHPID"};
    return std::find(names.begin(), names.end(), name) != names.end();
}

Result<std::pair<std::string, std::string>> one_variable(std::string_view text,
                                                         std::string_view argument) {
    const auto equals = text.find('=');
    if (equals == std::string_view::npos || equals == 0) {
        return fail(
            Code::usage,
            text == argument
                ? in_quotes(text) + " is not NAME=VALUE"
                : fmt::format("{} in {} is not NAME=VALUE", in_quotes(text), in_quotes(argument)),
            text == argument ? "write NAME=VALUE"
                             : "give each variable its own --env when values hold commas and =");
    }
    const auto name = text.substr(0, equals);
    if (!base::is_identifier(name)) {
        return fail(Code::usage,
                    in_quotes(name) + " is no name of a variable",
                    "use letters, digits and _ and begin with a letter or _");
    }
    return std::pair(std::string(name), std::string(text.substr(equals + 1)));
}

using EnvironmentMap = std::map<std::string, std::string, std::less<>>;

EnvironmentMap to_map(std::string_view block, char separator) {
    EnvironmentMap map;
    for (const auto variable : base::split(block, separator)) {
        const auto equals = variable.find('=');
        if (equals != std::string_view::npos && equals > 0) {
            map.insert_or_assign(std::string(variable.substr(0, equals)),
                                 std::string(variable.substr(equals + 1)));
        }
    }
    return map;
}

/// The environment after sourcing the script, NUL-separated.
Result<std::string> environment_after(const std::string& path,
                                      const std::vector<std::string>& environment) {
    base::Child::Spawn shell;
    shell.program = "/bin/sh";
    // set -a exports every assignment; the script's own output must not mix with the answer.
    // `.` would look a bare name up in PATH.
    // bash sets UID and others, a plain sh does not: scripts were written for the former.
    shell.arguments = {"sh", "-c",
                       fmt::format("exec 3>&1 >&2; : \"${{UID:={}}}\" \"${{EUID:={}}}\" "
                                   "\"${{GID:={}}}\"; set -a; . \"$1\" 3>&- || exit; "
                                   "exec /usr/bin/env -0 >&3",
                                   ::getuid(), ::geteuid(), ::getgid()),
                       "slipway-env-file", path.starts_with('/') ? path : "./" + path};
    shell.environment = environment;
    shell.descriptors = {{STDIN_FILENO, STDIN_FILENO}};
    TRY_ASSIGN(auto answer, base::capture_output(std::move(shell), max_environment,
                                                 base::Deadline::never(),
                                                 base::ErrorOutput::inherit));
    if (answer.status != 0) {
        return fail(Code::option_invalid,
                    fmt::format("the script {} of --env-file failed with status {}",
                                in_quotes(path), answer.exit_code()),
                    "try it with: sh -c '. FILE'");
    }
    return std::move(answer.output);
}

} // namespace

Result<Variables> parse_env_argument(std::string_view argument) {
    const auto equals = std::count(argument.begin(), argument.end(), '=');
    if (equals <= 1) {
        const auto first = argument.find_first_not_of('"');
        auto text = first == std::string_view::npos ? std::string_view() : argument.substr(first);
        text = text.substr(0, text.find_last_not_of('"') + 1);
        TRY_ASSIGN(auto variable, one_variable(text, argument));
        return Variables{std::move(variable)};
    }
    auto fields = base::csv_fields(argument);
    if (!fields) {
        return fail(Code::usage,
                    fmt::format("{}: {}", in_quotes(argument), fields.error().message),
                    "put double quotes around each whole NAME=VALUE that has commas or quotes");
    }
    Variables variables;
    for (const auto& field : *fields) {
        TRY_ASSIGN(auto variable, one_variable(field, argument));
        variables.push_back(std::move(variable));
    }
    return variables;
}

std::vector<std::string> assigned_names(std::string_view script) {
    std::vector<std::string> names;
    for (const auto line : base::split(script, '\n')) {
        for (auto statement : base::split(line, ';')) {
            statement = base::trim(statement);
            if (statement.starts_with("export ")) {
                statement = base::trim(statement.substr(7));
            }
            const auto name = statement.substr(0, statement.find('='));
            if (name.size() < statement.size() && base::is_identifier(name)) {
                names.emplace_back(name);
            }
        }
    }
    return names;
}

Result<Variables> read_env_file(const std::string& path,
                                const std::vector<std::string>& environment) {
    auto script = base::read_file(path, max_script);
    if (!script) {
        return base::Unexpected(
            std::move(script).error().context("--env-file").with_hint("check the path"));
    }
    TRY_ASSIGN(const auto block, environment_after(path, environment));
    std::string before_block;
    for (const auto& variable : environment) {
        before_block += variable + '\0';
    }
    const auto before = to_map(before_block, '\0');
    const auto assigned = assigned_names(*script);
    Variables variables;
    for (auto& [name, value] : to_map(block, '\0')) {
        const auto old = before.find(name);
        const bool changed = old == before.end() || old->second != value;
        const bool named = std::find(assigned.begin(), assigned.end(), name) != assigned.end();
        if ((changed || named) && base::is_identifier(name) && !belongs_to_shell(name)) {
            variables.emplace_back(name, value);
        }
    }
    return variables;
}

} // namespace slipway::cli
