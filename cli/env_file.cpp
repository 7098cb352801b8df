// SPDX-License-Identifier: Apache-2.0
#include "cli/env_file.hpp"

#include "base/child.hpp"
#include "base/fd.hpp"
#include "base/format.hpp"
#include "base/path.hpp"
#include "base/text.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <map>

namespace slipway::cli {
namespace {

using base::Code;
using base::fail;
using base::in_quotes;
using base::Result;

constexpr std::size_t max_script = 1U << 20U;
constexpr std::size_t max_environment = 4U << 20U;

bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

bool is_identifier(std::string_view name) {
    return !name.empty() && is_letter(name.front()) &&
           std::all_of(name.begin(), name.end(),
                       [](char c) { return is_letter(c) || (c >= '0' && c <= '9'); });
}

/// Set by the shell itself, or read-only in one.
bool belongs_to_shell(std::string_view name) {
    constexpr std::array<std::string_view, 20> names{
        "_",   "SHLVL", "PWD", "OLDPWD",    "OPTIND",   "OPTARG",        "PPID",
        "UID", "EUID",  "GID", "SHELLOPTS", "BASHOPTS", "BASH_VERSINFO", "IFS",
        "PS1", "PS2",   "PS4", "LINENO",    "RANDOM",   "BASHPID"};
    return std::find(names.begin(), names.end(), name) != names.end();
}

/// Fields of one CSV line; a field may be in double quotes, "" inside is a quote (RFC 4180).
Result<std::vector<std::string>> csv_fields(std::string_view line) {
    std::vector<std::string> fields(1);
    bool quoted = false;
    for (std::size_t i = 0; i < line.size(); ++i) {
        const char c = line[i];
        if (quoted && c == '"' && i + 1 < line.size() && line[i + 1] == '"') {
            fields.back() += '"';
            ++i;
        } else if (quoted && c == '"') {
            quoted = false;
        } else if (!quoted && c == '"' && fields.back().empty()) {
            quoted = true;
        } else if (!quoted && c == ',') {
            fields.emplace_back();
        } else {
            fields.back() += c;
        }
    }
    if (quoted) {
        return fail(Code::usage, "--env " + in_quotes(line) + " has a quote without its partner",
                    "close the double quote");
    }
    return fields;
}

Result<std::pair<std::string, std::string>> one_variable(std::string_view text,
                                                         std::string_view argument) {
    const auto equals = text.find('=');
    if (equals == std::string_view::npos || equals == 0) {
        return fail(
            Code::usage,
            fmt::format("--env {}: {} is not NAME=VALUE", in_quotes(argument), in_quotes(text)),
            "give each variable its own --env when values hold commas and =");
    }
    const auto name = text.substr(0, equals);
    if (!is_identifier(name)) {
        return fail(Code::usage,
                    fmt::format("--env {}: {} is no name of a variable", in_quotes(argument),
                                in_quotes(name)),
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

Result<std::string> absolute(const std::string& path) {
    if (path.starts_with('/')) {
        return path;
    }
    // `.` would look a bare name up in PATH.
    return "./" + path;
}

/// The environment after sourcing the script, NUL-separated.
Result<std::string> environment_after(const std::string& path,
                                      const std::vector<std::string>& environment) {
    const base::UniqueFd answer(::memfd_create("slipway-env-file", MFD_CLOEXEC));
    if (!answer) {
        return base::fail_errno(Code::system, errno, "cannot make a file in memory");
    }
    TRY_ASSIGN(auto script, absolute(path));
    base::Child::Spawn shell;
    shell.program = "/bin/sh";
    // set -a exports every assignment; the script's own output must not mix with the answer.
    shell.arguments = {"sh", "-c", "set -a; . \"$1\" >&2 3>&- || exit; exec /usr/bin/env -0 >&3",
                       "slipway-env-file", std::move(script)};
    shell.environment = environment;
    shell.descriptors = {{answer.get(), 3}};
    TRY_ASSIGN(auto child, base::Child::spawn(shell));
    TRY_ASSIGN(const int status, child.wait());
    if (status != 0) {
        return fail(Code::option_invalid,
                    fmt::format("the script {} of --env-file failed with status {}",
                                in_quotes(path), base::exit_code_of(status)),
                    "try it with: sh -c '. FILE'");
    }
    if (::lseek(answer.get(), 0, SEEK_SET) < 0) {
        return base::fail_errno(Code::system, errno, "cannot read the answer of a shell");
    }
    return base::read_to_end(answer.get(), max_environment);
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
    TRY_ASSIGN(const auto fields, csv_fields(argument));
    Variables variables;
    for (const auto& field : fields) {
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
            if (name.size() < statement.size() && is_identifier(name)) {
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
        if ((changed || named) && is_identifier(name) && !belongs_to_shell(name)) {
            variables.emplace_back(name, value);
        }
    }
    return variables;
}

} // namespace slipway::cli
