// SPDX-License-Identifier: Apache-2.0
#include "cli/verbs.hpp"

#include <catch2/catch.hpp>

using namespace slipway;
using namespace slipway::cli;
using List = std::vector<std::string>;

namespace {

std::string check(const char* name, const List& words) {
    const auto* verb = find_verb(name);
    REQUIRE(verb != nullptr);
    // As main() does it for an option in front of the verb.
    std::vector<OptionGroup> groups = all_options(*verb);
    groups.insert(groups.end(), global_options().begin(), global_options().end());
    const auto arguments = parse_arguments(groups, words, verb->words);
    REQUIRE(arguments);
    const auto checked = check_form(*verb, *arguments);
    return checked ? "accepted" : checked.error().one_line();
}

} // namespace

TEST_CASE("every verb refuses words that it has no use for") {
    for (const auto& verb : verbs()) {
        INFO(verb.name);
        for (const auto& form : verb.forms) {
            if (form.most == any_number) {
                continue;
            }
            List words(form.word.empty() ? 0 : 1, std::string(form.word));
            words.resize(words.size() + form.most, "x");
            CHECK(check(verb.name.data(), words) == "accepted");
            words.emplace_back("extra");
            const auto said = check(verb.name.data(), words);
            CHECK((said.find("unexpected argument 'extra'") != std::string::npos ||
                   said.find("does not know 'extra'") != std::string::npos));
            CHECK(said.find("(hint: ") != std::string::npos);
        }
    }
    CHECK(check("images", {"list", "--json", "extra"}) ==
          "usage: unexpected argument 'extra' (hint: see slipway images --help)");
}

TEST_CASE("words that are missing or not known") {
    CHECK(check("build", {"x"}) == "usage: build needs a file and an image (hint: see slipway build --help)");
    CHECK(check("images", {"rm"}) == "usage: images rm needs an image (hint: see slipway images --help)");
    CHECK(check("images", {}) == "accepted");
    CHECK(check("cache", {}) ==
          "usage: cache needs a word behind it (hint: write cache list, cache clean or cache fsck)");
    CHECK(check("cache", {"claen"}) == "usage: cache does not know 'claen' (hint: did you mean clean?)");
    CHECK(check("config", {"xyzzy"}) ==
          "usage: config does not know 'xyzzy' (hint: write config check, config show or config example)");
}

TEST_CASE("options that would have no effect are refused") {
    CHECK(check("images", {"--force"}) == "usage: --force has no effect on images (hint: leave it out)");
    CHECK(check("images", {"pin", "x", "-F"}) == "usage: -F has no effect on images pin (hint: leave it out)");
    CHECK(check("images", {"rm", "x", "-F"}) == "accepted");
    CHECK(check("cache", {"list", "--days", "3"}) ==
          "usage: --days has no effect on cache list (hint: leave it out)");
    CHECK(check("cache", {"list", "-v"}) == "accepted");
    for (const auto* verb : {"version", "help"}) {
        CHECK(check(verb, {"--config=/nosuch"}) ==
              std::string("usage: --config has no effect on ") + verb + " (hint: leave it out)");
    }
    CHECK(check("config", {"--config=/nosuch", "example"}) ==
          "usage: --config has no effect on config example (hint: leave it out)");
    CHECK(check("config", {"--config=/nosuch", "show"}) == "accepted");
}

TEST_CASE("verbs that Singularity and Apptainer have, and this version has not") {
    for (const auto* word : {"instance", "test", "push", "search", "sign", "key", "verify", "overlay"}) {
        CHECK(find_verb(word) == nullptr);
        const auto error = unknown_verb(word);
        CHECK(error.code == base::Code::unsupported);
        CHECK(error.message == "the verb '" + std::string(word) + "' is not part of this version");
        CHECK_FALSE(error.hint.empty());
    }
    CHECK(unknown_verb("exce").one_line() == "usage: unknown verb 'exce' (hint: did you mean exec?)");
    for (const auto& verb : verbs()) {
        CHECK(unknown_verb(verb.name).code == base::Code::usage);
    }
}
