// SPDX-License-Identifier: Apache-2.0
#include "cli/program.hpp"

#include "base/barrier.hpp"
#include "base/format.hpp"
#include "base/text.hpp"
#include "cli/help.hpp"
#include "cli/messages.hpp"

#include <exception>

namespace slipway::cli {
namespace {

base::Result<int> parse_and_run(const Verb& verb, std::span<const std::string> words,
                                const Arguments& globals) {
    const auto groups = all_options(verb);
    TRY_ASSIGN(auto arguments, parse_arguments(groups, words, verb.words));
    if (arguments.wants_help()) {
        return printed(help_text(verb));
    }
    for (const auto& [option, value, source] : globals.given()) {
        arguments.add(*option, value, source);
    }
    start_messages(level_from(arguments));
    TRY(check_form(verb, arguments));
    Session session{std::move(arguments), EnvironmentView::of_process()};
    TRY(add_environment(session.arguments, groups, session.environment));
    if (verb.run == nullptr) {
        return base::fail(base::Code::internal,
                          base::in_quotes(verb.name) + " is a verb of another program",
                          "report this as an error of Slipway");
    }
    return verb.run(session);
}

} // namespace

int call_verb(const Verb& verb, std::span<const std::string> words, const Arguments& globals) {
    return run_program([&] { return parse_and_run(verb, words, globals); });
}

int run_program(const std::function<base::Result<int>()>& run) {
    constexpr int interrupted = 130;
    start_messages(base::LogLevel::info);
    try {
        const auto result = run();
        if (result) {
            return *result;
        }
        if (result.error().code == base::Code::interrupted) {
            return interrupted;
        }
        print_error(result.error());
        return static_cast<int>(base::exit_code_for(result.error().code));
    } catch (const std::exception& thrown) {
        print_error(base::error_of(thrown));
        return static_cast<int>(base::ExitCode::setup);
    }
}

} // namespace slipway::cli
