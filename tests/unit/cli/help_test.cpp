// SPDX-License-Identifier: Apache-2.0
#include "base/fd.hpp"
#include "base/text.hpp"
#include "cli/help.hpp"
#include "config/schema.hpp"
#include "prefetch/stage/stage_types.hpp"

#include <catch2/catch.hpp>

#include <set>

using namespace slipway;
using namespace slipway::cli;

namespace {

bool contains(std::string_view text, std::string_view part) {
    return text.find(part) != std::string_view::npos;
}

} // namespace

TEST_CASE("the tables are sound") {
    for (const auto& verb : verbs()) {
        INFO(verb.name);
        CHECK_FALSE(verb.forms.empty());
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
                } else {
                    CHECK_FALSE(option.unsupported.ends_with('.'));
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

TEST_CASE("nothing stays to be filled in") {
    for (const auto& verb : verbs()) {
        INFO(verb.name);
        CHECK_FALSE(contains(help_text(verb), "{"));
        CHECK_FALSE(contains(*man_page(verb.name), "{"));
        for (const auto page : base::split(verb.see_also, ' ')) {
            const auto name = page.substr(0, page.find('('));
            INFO(name);
            const auto other = name == "slipway" || name == "slipway.yaml"
                                   ? name
                                   : name.substr(std::string_view("slipway-").size());
            CHECK(man_page(other).has_value());
        }
    }
}

TEST_CASE("help shows every option that works and names those that do not") {
    for (const auto& verb : verbs()) {
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

TEST_CASE("verbs that take an image fetch it and refuse options in the same way") {
    const auto find = [](const Verb& verb, std::string_view name) -> const Option* {
        for (const auto& group : verb.options) {
            for (const auto& option : group.options) {
                if (option.name == name) {
                    return &option;
                }
            }
        }
        return nullptr;
    };
    for (const auto* name : {"run", "exec", "shell", "inspect", "stage", "pull", "build"}) {
        const auto* verb = find_verb(name);
        REQUIRE(verb != nullptr);
        for (const auto& option : fetch_options().options) {
            INFO(name << " --" << option.name);
            const auto* here = find(*verb, option.name);
            REQUIRE(here != nullptr);
            CHECK(here->doc == option.doc);
            CHECK(here->environment == option.environment);
            CHECK(here->unsupported.empty());
        }
        if (std::string_view(name) == "inspect") {
            continue;
        }
        for (const auto& option : refused_options().options) {
            INFO(name << " --" << option.name);
            const auto* here = find(*verb, option.name);
            REQUIRE(here != nullptr);
            CHECK(here->unsupported == option.unsupported);
            // What a profile sets for containers must not stop a pull.
            CHECK((verb->program == Program::slipway || here->environment.empty()));
        }
    }
}

TEST_CASE("help explains every value of --pull") {
    for (const auto& option : fetch_options().options) {
        for (const auto name : prefetch::stage::pull_policies.names()) {
            CHECK((option.name != "pull" || contains(option.doc, std::string(name) + ": ")));
        }
    }
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
    for (const auto& section : config::site_record().fields) {
        for (const auto& key : section.records->fields) {
            CHECK(contains(*yaml, ".B " + std::string(key.name) + "\n"));
        }
    }
    const auto page_of_all = man_page("slipway");
    REQUIRE(page_of_all);
    for (const auto code : {base::Code::internal, base::Code::mount_source_missing, base::Code::service_busy}) {
        std::string name(base::code_name(code));
        for (auto at = name.find('-'); at != std::string::npos; at = name.find('-', at + 2)) {
            name.insert(at, "\\");
        }
        CHECK(contains(*page_of_all, ".TP\n.B " + name + "\n"));
    }
    CHECK_FALSE(man_page("nonsense"));
}

TEST_CASE("the committed completion is what the tables give") {
    const auto committed = base::read_file(SLIPWAY_COMPLETION_FILE, 1U << 20U);
    REQUIRE(committed);
    // Regenerate with: slipway help --completion bash > contrib/completions/slipway.bash
    CHECK(*committed == bash_completion());
}
