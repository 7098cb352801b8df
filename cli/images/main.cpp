// SPDX-License-Identifier: Apache-2.0
// slipway-images: the verbs of `slipway` that need the network, the converter or the store.
#include "base/standard_fds.hpp"
#include "cli/help.hpp"
#include "cli/images/command.hpp"
#include "cli/messages.hpp"

#include <sys/prctl.h>

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
    {"pull", images::run_pull},     {"stage", images::run_stage}, {"build", images::run_build},
    {"images", images::run_images}, {"cache", images::run_cache},
};

base::Result<int> run(const std::vector<std::string>& words) {
    const auto* verb = words.empty() ? nullptr : images::find_verb(words.front());
    if (verb == nullptr) {
        return base::fail(base::Code::usage, "slipway-images is a part of slipway",
                          "use slipway pull, stage, build, images or cache");
    }
    const auto groups = all_options(*verb);
    const std::vector<std::string> rest(words.begin() + 1, words.end());
    TRY_ASSIGN(auto arguments, parse_arguments(groups, rest, verb->words));
    if (arguments.wants_help()) {
        return print(help_text(*verb)) ? 0 : 255;
    }
    start_messages(level_from(arguments));
    Session session{std::move(arguments), EnvironmentView::of_process()};
    TRY(add_environment(session.arguments, groups, session.environment));
    for (const auto& command : commands) {
        if (command.verb == verb->name) {
            return command.run(session);
        }
    }
    return base::fail(base::Code::internal, "a verb without a function");
}

} // namespace

int main(int argc, char** argv) {
    slipway::base::open_standard_descriptors();
    // Registry credentials may be in memory: no core dumps, no ptrace by the user's other programs.
    ::prctl(PR_SET_DUMPABLE, 0);
    start_messages(base::LogLevel::info);
    try {
        const auto result = run({argv + (argc > 0 ? 1 : 0), argv + argc});
        if (result) {
            return *result;
        }
        if (result.error().code == base::Code::interrupted) {
            return 130;
        }
        print_error(result.error());
        return static_cast<int>(base::exit_code_for(result.error().code));
    } catch (const std::exception& error) { // out of memory; everything else is a Result
        print_error({base::Code::internal, 0, error.what(), "report this as an error of Slipway"});
        return static_cast<int>(base::ExitCode::setup);
    }
}
