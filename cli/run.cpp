// SPDX-License-Identifier: Apache-2.0
// The verbs run, exec and shell: from the command line into the container.
#include "base/format.hpp"
#include "base/json.hpp"
#include "base/path.hpp"
#include "base/text.hpp"
#include "cli/action.hpp"
#include "cli/image_argument.hpp"
#include "cli/messages.hpp"
#include "launcher/container.hpp"

#include <sys/stat.h>
#include <unistd.h>

namespace slipway::cli {
namespace {

using base::Result;

constexpr const char* runscript = "/.singularity.d/runscript";

void warn(std::string_view message) {
    base::log(base::LogLevel::warning, message);
}

std::vector<std::string> with_arguments(std::vector<std::string> argv,
                                        const std::vector<std::string>& arguments) {
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    return argv;
}

/// Inside the container: what to execute for the verb.
std::vector<std::string> command_inside(const Action& action) {
    switch (action.kind) {
    case ActionKind::exec:
        return action.command;
    case ActionKind::run:
        if (::access(runscript, X_OK) == 0) {
            return with_arguments({runscript}, action.command);
        }
        base::log(base::LogLevel::info, "the image has no run script, executing /bin/sh");
        return with_arguments({"/bin/sh"}, action.command);
    case ActionKind::shell:
        break;
    }
    if (!action.shell.empty()) {
        return with_arguments({action.shell}, action.command);
    }
    if (::access("/bin/bash", X_OK) == 0) {
        return with_arguments({"/bin/bash", "--norc"}, action.command);
    }
    return with_arguments({"/bin/sh"}, action.command);
}

/// The same for --dry-run, where the image's files are not there to be asked.
std::vector<std::string> command_planned(const Action& action) {
    switch (action.kind) {
    case ActionKind::exec:
        return action.command;
    case ActionKind::run:
        return with_arguments({runscript}, action.command);
    case ActionKind::shell:
        break;
    }
    return with_arguments({action.shell.empty() ? "/bin/bash" : action.shell}, action.command);
}

Result<int> dry_run(const Action& action, const config::Config& config) {
    TRY_ASSIGN(const auto plan, launcher::plan_container(action.request, config, warn));
    const auto command = command_planned(action);
    std::string text;
    if (action.json) {
        text = launcher::plan_json(plan, command) + "\n";
    } else {
        const auto words = base::joined(command, " ", [](const auto& word) { return base::in_quotes(word); });
        text = fmt::format("{}command {}\n", launcher::plan_text(plan), words);
    }
    return printed(text);
}

Result<int> run_action(ActionKind kind, Session& session) {
    TRY_ASSIGN(const auto cwd, base::current_directory());
    TRY_ASSIGN(auto action, read_action(kind, session.arguments, session.environment, cwd));
    TRY_ASSIGN(const auto config, config::load(config::Reader::user, session.site_file()));
    TRY_ASSIGN(const auto image, find_image(action.image_word, session));
    if (image.stored) {
        action.request.image_id = image.stored->id;
        action.request.image_store = own_store(image, config);
    } else {
        action.request.image = image.path;
    }
    TRY(collect_variables(action));
    base::log(base::LogLevel::debug,
              fmt::format("configuration: {}",
                          config.source.empty() ? "built-in defaults" : config.source));
    base::log(base::LogLevel::debug, fmt::format("image: {}", image.path));
    if (action.dry_run) {
        return dry_run(action, config);
    }
    TRY_ASSIGN(auto inside, launcher::enter_container(action.request, config, warn));
    for (const auto* prefix : {"SINGULARITY", "APPTAINER"}) {
        inside.environment.push_back(fmt::format("{}_COMMAND={}", prefix, action_verbs.name(kind)));
    }
    if (action.reset_umask) {
        ::umask(0022);
    }
    return base::Unexpected(launcher::exec_inside(command_inside(action), inside.environment));
}

} // namespace

Result<int> run_run(Session& session) {
    return run_action(ActionKind::run, session);
}

Result<int> run_exec(Session& session) {
    return run_action(ActionKind::exec, session);
}

Result<int> run_shell(Session& session) {
    return run_action(ActionKind::shell, session);
}

} // namespace slipway::cli
