// SPDX-License-Identifier: Apache-2.0
#include "cli/action.hpp"

#include "base/format.hpp"
#include "base/text.hpp"
#include "cli/env_file.hpp"
#include "launcher/join/mount_spec.hpp"

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
    for (const auto& [option, value, source] : arguments.given()) {
        if (option->name == "bind") {
            request.mounts.push_back({MountSyntax::bind, value});
        } else if (option->name == "mount") {
            request.mounts.push_back({MountSyntax::mount_csv, value});
        }
    }
}

/// Which of them contradict each other shows when they have been opened (launcher/root_image.cpp).
Result<void> read_overlays(launcher::join::Request& request, const Arguments& arguments) {
    for (const auto& text : arguments.list("overlay")) {
        TRY_ASSIGN(auto overlay, launcher::join::parse_overlay(text));
        request.overlays.push_back(std::move(overlay));
    }
    return {};
}

void read_home(launcher::join::Request& request, const Arguments& arguments) {
    const bool without = arguments.flag("no-home");
    const auto home = arguments.text("home");
    // With both nothing is mounted, and HOME has the value of --home.
    request.home = home.value_or("");
    request.mount_home = without ? Switch::off : home ? Switch::on : Switch::site_default;
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
    request.fake_root = arguments.flag("fakeroot");
    request.write_image = arguments.flag("writable");
    request.nv = arguments.flag("nv");
    request.rocm = arguments.flag("rocm");
    if (arguments.flag("writable-tmpfs") || (compat && !request.write_image)) {
        request.writable = Switch::on;
    }
    request.shell_evaluation = !(arguments.flag("no-eval") || compat);
    action.reset_umask = arguments.flag("no-umask") || compat;
}

void read_namespaces(launcher::join::Request& request, const Arguments& arguments) {
    auto& asked = request.namespaces;
    const bool all = request.containment == Containment::contain_all;
    asked.pid = (all || arguments.flag("pid")) && !arguments.flag("no-pid");
    asked.init = !(arguments.flag("no-init") || arguments.flag("compat"));
    asked.ipc = all || arguments.flag("ipc");
    asked.hostname = arguments.text("hostname").value_or("");
    asked.uts = arguments.flag("uts") || !asked.hostname.empty();
    asked.network = arguments.text("network").has_value();
}

Result<void> refuse_network(const Arguments& arguments) {
    const auto* network = arguments.last("network");
    const auto* net = arguments.last("net");
    if (network != nullptr ? network->value == "none" : net == nullptr || net->value != "true") {
        return {};
    }
    return fail(Code::unsupported,
                network != nullptr
                    ? fmt::format("{} {} needs root", network->source, in_quotes(network->value))
                    : net->source + " needs a network that only root can set up",
                "use --network none for a container without network, or leave the option out");
}

void read_directories(launcher::join::Request& request, const Arguments& arguments) {
    request.workdir = arguments.text("cwd").value_or("");
    request.work_area = arguments.text("workdir").value_or("");
    request.dns = arguments.list("dns");
    request.scratch = arguments.list("scratch");
    request.no_mount = arguments.list("no-mount");
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
    TRY(read_overlays(action.request, arguments));
    read_home(action.request, arguments);
    read_isolation(action, arguments);
    read_namespaces(action.request, arguments);
    TRY(refuse_network(arguments));
    read_directories(action.request, arguments);
    action.env_files = arguments.list("env-file");
    action.env_arguments = arguments.list("env");
    action.shell = arguments.text("shell").value_or("");
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
