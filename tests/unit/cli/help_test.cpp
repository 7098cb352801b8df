// SPDX-License-Identifier: Apache-2.0
#include "base/fd.hpp"
#include "base/text.hpp"
#include "cli/help.hpp"
#include "config/schema.hpp"

#include <catch2/catch.hpp>

#include <set>

using namespace slipway;
using namespace slipway::cli;

namespace {

std::vector<Verb> every_verb() {
    std::vector<Verb> all(verbs().begin(), verbs().end());
    all.insert(all.end(), images::verbs().begin(), images::verbs().end());
    return all;
}

bool contains(std::string_view text, std::string_view part) {
    return text.find(part) != std::string_view::npos;
}

} // namespace

TEST_CASE("the tables are sound") {
    for (const auto& verb : every_verb()) {
        INFO(verb.name);
        CHECK_FALSE(verb.summary.empty());
        CHECK(verb.summary.back() != '.');
        CHECK(verb.synopsis.starts_with(verb.name));
        std::set<std::string> names;
        std::set<std::string> variables;
        std::set<char> own_letters;
        for (const auto& group : verb.options) {
            for (const auto& option : group.options) {
                INFO(option.name);
                CHECK(names.insert(std::string(option.name)).second);
                CHECK((option.letter == 0 || own_letters.insert(option.letter).second));
                CHECK(option.letter != 'h');
                CHECK((option.kind == OptionKind::flag) == option.value.empty());
                if (option.unsupported.empty()) {
                    CHECK(option.doc.ends_with('.'));
                }
                for (const auto alias : base::split(option.alias, ' ')) {
                    CHECK((alias.empty() || names.insert(std::string(alias)).second));
                }
                for (const auto name : base::split(option.environment, ' ')) {
                    CHECK((name.empty() || variables.insert(std::string(name)).second));
                }
            }
        }
    }
}

TEST_CASE("help shows every option that works and names those that do not") {
    for (const auto& verb : every_verb()) {
        INFO(verb.name);
        const auto text = help_text(verb);
        CHECK(text.starts_with("Usage: slipway " + std::string(verb.name)));
        for (const auto& group : all_options(verb)) {
            for (const auto& option : group.options) {
                CHECK(contains(text, "--" + std::string(option.name)));
            }
        }
        std::size_t start = 0;
        for (auto end = text.find('\n'); end != std::string::npos; end = text.find('\n', start)) {
            CHECK(end - start <= 110);
            start = end + 1;
        }
    }
    CHECK(contains(overview_text(), "\n  exec       Run a command in a container\n"));
}

TEST_CASE("help for version, word by word") {
    CHECK(help_text(*find_verb("version")) == "Usage: slipway version [--json]\n"
                                              "\n"
                                              "Prints the version of slipway.\n"
                                              "\n"
                                              "Output:\n"
                                              "  -j, --json\n"
                                              "          Print JSON.\n"
                                              "\n"
                                              "Messages:\n"
                                              "  -q, --quiet\n"
                                              "          No informative messages.\n"
                                              "  -s, --silent\n"
                                              "          No messages but errors.\n"
                                              "  -v, --verbose\n"
                                              "          More messages about what is done.\n"
                                              "  -d, --debug\n"
                                              "          All messages, for reports of errors.\n");
}

TEST_CASE("man pages have every option and every key") {
    const auto page = man_page("exec");
    REQUIRE(page);
    for (const auto& group : exec_options()) {
        for (const auto& option : group.options) {
            std::string name(option.name);
            for (auto at = name.find('-'); at != std::string::npos; at = name.find('-', at + 2)) {
                name.insert(at, "\\");
            }
            CHECK(contains(*page, "\\fB\\-\\-" + name + "\\fR"));
        }
    }
    const auto yaml = man_page("slipway.yaml");
    REQUIRE(yaml);
    for (const auto& key : config::keys()) {
        CHECK(contains(*yaml, ".B " + std::string(key.name) + "\n"));
    }
    REQUIRE(man_page("slipway"));
    CHECK_FALSE(man_page("nonsense"));
}

TEST_CASE("the committed completion is what the tables give") {
    const auto committed = base::read_file(SLIPWAY_COMPLETION_FILE, 1U << 20U);
    REQUIRE(committed);
    // Regenerate with: slipway help --completion bash > contrib/completions/slipway.bash
    CHECK(*committed == bash_completion());
}
