// SPDX-License-Identifier: Apache-2.0
// slipway: reads the global options, finds the verb, runs it.
#include "base/format.hpp"
#include "base/standard_fds.hpp"
#include "base/text.hpp"
#include "cli/help.hpp"
#include "cli/images_program.hpp"
#include "cli/messages.hpp"
#include "cli/session.hpp"
#include "cli/verbs.hpp"
#include "cli/version.hpp"

#include <exception>

namespace {

using namespace slipway;
using namespace slipway::cli;

using Run = base::Result<int> (*)(Session&);

struct Command {
    std::string_view verb;
    Run run;
};
constexpr Command commands[] = {
    {"run", run_action_run},  {"exec", run_action_exec}, {"shell", run_action_shell},
    {"inspect", run_inspect}, {"config", run_config},    {"help", run_help},
    {"version", run_version}, {"doctor", run_doctor},
};

Run find_command(std::string_view verb) {
    for (const auto& command : commands) {
        if (command.verb == verb) {
            return command.run;
        }
    }
    return nullptr;
}

base::Error unknown_verb(const std::string& word) {
    std::vector<std::string_view> known;
    for (const auto& verb : verbs()) {
        known.push_back(verb.name);
    }
    for (const auto& verb : images::verbs()) {
        known.push_back(verb.name);
    }
    const auto near = base::did_you_mean(word, known);
    return {base::Code::usage, 0, "unknown verb " + base::in_quotes(word),
            near.empty() ? "slipway help lists the verbs" : fmt::format("did you mean {}?", near)};
}

/// The global options as words, to hand them on to the second program behind its verb.
std::vector<std::string> hand_on(const Arguments& globals, const std::vector<std::string>& words) {
    std::vector<std::string> arguments{words.front()};
    for (const auto& [option, value] : globals.given()) {
        arguments.push_back(fmt::format("--{}={}", option->name, value));
    }
    arguments.insert(arguments.end(), words.begin() + 1, words.end());
    return arguments;
}

base::Result<int> run_verb(const Arguments& globals, const Verb& verb, Run run) {
    const std::vector<std::string> rest(globals.words().begin() + 1, globals.words().end());
    const auto groups = all_options(verb);
    TRY_ASSIGN(auto arguments, parse_arguments(groups, rest, verb.words));
    if (arguments.wants_help()) {
        return print(help_text(verb)) ? 0 : 255;
    }
    for (const auto& [option, value] : globals.given()) {
        arguments.add(*option, value);
    }
    start_messages(level_from(arguments));
    Session session{std::move(arguments), EnvironmentView::of_process()};
    TRY(add_environment(session.arguments, groups, session.environment));
    return run(session);
}

base::Result<int> run(const std::vector<std::string>& arguments) {
    constexpr Option version_option{"version", 0, OptionKind::flag, "", "Print the version.", "",
                                    "",        ""};
    std::vector<OptionGroup> groups(global_options().begin(), global_options().end());
    groups.push_back({"", {&version_option, 1}});
    TRY_ASSIGN(auto globals, parse_arguments(groups, arguments, Words::end_options));
    if (globals.wants_help()) {
        return print(overview_text()) ? 0 : 255;
    }
    if (globals.flag("version")) {
        return print(fmt::format("slipway {}\n", version_text)) ? 0 : 255;
    }
    const auto& words = globals.words();
    if (words.empty()) {
        return base::fail(base::Code::usage, "a verb is missing", "slipway help lists the verbs");
    }
    const auto* verb = find_verb(words.front());
    const auto command = find_command(words.front());
    if (verb != nullptr && command != nullptr) {
        return run_verb(globals, *verb, command);
    }
    if (images::find_verb(words.front()) != nullptr) {
        return base::Unexpected(become_images_program(hand_on(globals, words)));
    }
    return base::Unexpected(unknown_verb(words.front()));
}

} // namespace

int main(int argc, char** argv) {
    slipway::base::open_standard_descriptors();
    start_messages(base::LogLevel::info);
    try {
        const auto result = run({argv + (argc > 0 ? 1 : 0), argv + argc});
        if (result) {
            return *result;
        }
        print_error(result.error());
        return static_cast<int>(base::exit_code_for(result.error().code));
    } catch (const std::exception& error) { // out of memory; everything else is a Result
        print_error({base::Code::internal, 0, error.what(), "report this as an error of Slipway"});
        return static_cast<int>(base::ExitCode::setup);
    }
}
