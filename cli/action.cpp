// SPDX-License-Identifier: Apache-2.0
#include "cli/action.hpp"

#include "base/format.hpp"
#include "base/text.hpp"
#include "base/words.hpp"
#include "cli/env_file.hpp"

#include <arpa/inet.h>

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

/// As hostname(7) has it, and short enough for the kernel.
bool is_hostname(std::string_view name) {
    constexpr std::size_t longest = 64;
    return !name.empty() && name.size() <= longest && name.front() != '-' && name.front() != '.' &&
           std::all_of(name.begin(), name.end(), [](char c) {
               return base::is_alphanumeric(c) || c == '-' || c == '.';
           });
}

bool is_address(const std::string& text) {
    in6_addr address{};
    return ::inet_pton(AF_INET, text.c_str(), &address) == 1 ||
           ::inet_pton(AF_INET6, text.c_str(), &address) == 1;
}

Result<void> read_namespaces(launcher::join::Request& request, const Arguments& arguments) {
    auto& asked = request.namespaces;
    const bool all = request.containment == Containment::contain_all;
    asked.pid = (all || arguments.flag("pid")) && !arguments.flag("no-pid");
    asked.init = !(arguments.flag("no-init") || arguments.flag("compat"));
    asked.ipc = all || arguments.flag("ipc");
    asked.hostname = arguments.text("hostname").value_or("");
    asked.uts = arguments.flag("uts") || !asked.hostname.empty();
    if (arguments.text("hostname") && !is_hostname(asked.hostname)) {
        return fail(Code::usage, fmt::format("--hostname {} is no hostname", in_quotes(asked.hostname)),
                    "letters, digits, '-' and '.', at most 64 of them");
    }
    const auto network = arguments.text("network");
    if (network ? *network != "none" : arguments.flag("net")) {
        return fail(Code::unsupported,
                    network ? fmt::format("--network {} needs root", in_quotes(*network))
                            : "--net needs a network that only root can set up",
                    "use --network none for a container without network, or leave the option out");
    }
    asked.network = network.has_value();
    return {};
}

Result<void> read_dns(launcher::join::Request& request, const Arguments& arguments) {
    request.dns = arguments.list("dns");
    for (const auto& address : request.dns) {
        if (!is_address(address)) {
            return fail(Code::usage, fmt::format("--dns {} is no address", in_quotes(address)),
                        "name servers are given as IPv4 or IPv6 addresses");
        }
    }
    return {};
}

Result<void> read_directories(launcher::join::Request& request, const Arguments& arguments) {
    request.workdir = arguments.text("cwd").value_or("");
    if (!request.workdir.empty() && !request.workdir.starts_with('/')) {
        return fail(Code::usage,
                    fmt::format("--cwd {} is not an absolute path", in_quotes(request.workdir)),
                    "name a directory of the container, beginning with /");
    }
    request.work_area = arguments.text("workdir").value_or("");
    if (arguments.text("workdir") && request.work_area.empty()) {
        return fail(Code::usage, "--workdir is empty", "name a directory of the host");
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
    TRY(read_namespaces(action.request, arguments));
    TRY(read_dns(action.request, arguments));
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
