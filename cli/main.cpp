// SPDX-License-Identifier: Apache-2.0
// slipway: reads the global options, finds the verb, runs it or becomes the program that has it.
#include "base/format.hpp"
#include "base/inherited_state.hpp"
#include "base/text.hpp"
#include "cli/help.hpp"
#include "cli/images_program.hpp"
#include "cli/messages.hpp"
#include "cli/product.hpp"
#include "cli/program.hpp"

namespace {

using namespace slipway;
using namespace slipway::cli;

/// The global options as words, to hand them on to the second program behind its verb.
std::vector<std::string> hand_on(const Arguments& globals, const std::vector<std::string>& words) {
    std::vector<std::string> arguments{words.front()};
    for (const auto& [option, value, source] : globals.given()) {
        arguments.push_back(fmt::format("--{}={}", option->name, value));
    }
    arguments.insert(arguments.end(), words.begin() + 1, words.end());
    return arguments;
}

base::Result<int> run(const std::vector<std::string>& arguments) {
    static constexpr Option version_option{.name = "version", .doc = "Print the version."};
    std::vector<OptionGroup> groups(global_options().begin(), global_options().end());
    groups.push_back({"", {&version_option, 1}});
    TRY_ASSIGN(auto globals, parse_arguments(groups, arguments, Words::end_options));
    if (globals.wants_help()) {
        return printed(overview_text());
    }
    const auto& words = globals.words();
    if (globals.flag("version")) {
        if (!words.empty()) {
            return base::fail(base::Code::usage, "unexpected argument " + base::in_quotes(words.front()),
                              "--version stands alone");
        }
        return printed(version_line() + "\n");
    }
    if (words.empty()) {
        return base::fail(base::Code::usage, "a verb is missing", "slipway help lists the verbs");
    }
    const auto* verb = find_verb(words.front());
    if (verb == nullptr) {
        return base::Unexpected(unknown_verb(words.front()));
    }
    if (verb->program == Program::images) {
        return base::Unexpected(become_images_program(hand_on(globals, words)));
    }
    return call_verb(*verb, std::span(words).subspan(1), globals);
}

} // namespace

int main(int argc, char** argv) {
    slipway::base::repair_inherited_state();
    set_product_name(argc > 0 ? argv[0] : "");
    return run_program([&] { return run({argv + (argc > 0 ? 1 : 0), argv + argc}); });
}
