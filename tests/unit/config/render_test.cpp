// SPDX-License-Identifier: Apache-2.0
#include "base/fd.hpp"
#include "config/config.hpp"
#include "config/schema.hpp"

#include <catch2/catch.hpp>

#include <set>
#include <string>

using namespace slipway;

namespace {

/// The example with every key switched on.
std::string uncommented(const std::string& example) {
    std::string out;
    std::size_t at = 0;
    while (at < example.size()) {
        const auto end = example.find('\n', at);
        auto line = example.substr(at, end - at);
        const auto hash = line.find_first_not_of(' ');
        if (hash != std::string::npos && line[hash] == '#' && line.substr(hash, 2) != "# ") {
            line.erase(hash, 1);
        }
        out += line + '\n';
        at = end + 1;
    }
    return out;
}

} // namespace

TEST_CASE("the committed example is what the schema gives") {
    const auto committed = base::read_file(SLIPWAY_EXAMPLE_FILE, 1U << 20U);
    REQUIRE(committed);
    // Regenerate with: slipway config example > contrib/slipway.yaml.example
    CHECK(*committed == config::example_file());
}

TEST_CASE("the example is accepted as it stands and with every key switched on") {
    const auto example = config::example_file();
    const auto plain = config::parse(example, "example");
    REQUIRE(plain);
    CHECK(config::show(*plain) == config::show(config::Config{}));

    const auto all = uncommented(example);
    for (const auto& problem : config::problems(all, "example")) {
        FAIL_CHECK(problem.one_line());
    }
    const auto parsed = config::parse(all, "example");
    REQUIRE(parsed);
    CHECK(parsed->registries.count("docker.io") == 1);
    for (const auto& section : config::site_record().fields) {
        for (const auto& key : section.records->fields) {
            INFO(section.name << "." << key.name);
            CHECK(all.find(std::string(key.name) + ": ") != std::string::npos);
        }
    }
    for (const auto& line : {example, all}) {
        std::size_t start = 0;
        for (auto end = line.find('\n'); end != std::string::npos; end = line.find('\n', start)) {
            CHECK(end - start <= 100);
            start = end + 1;
        }
    }
}

TEST_CASE("what show() prints is read back to the same values") {
    const auto first = config::parse(uncommented(config::example_file()), "a");
    REQUIRE(first);
    const auto shown = config::show(*first);
    const auto second = config::parse(shown, "b");
    REQUIRE(second);
    CHECK(config::show(*second) == shown);
    CHECK(second->launcher.bind == first->launcher.bind);
    CHECK(second->registries.at("docker.io").password_file ==
          first->registries.at("docker.io").password_file);
    CHECK(shown.find("quota: 20TiB\n") != std::string::npos);
    CHECK(shown.find("user_path: \"/scratch/${USER}/slipway\"\n") != std::string::npos);
}

TEST_CASE("every key is set and shown by its own row of the table") {
    // Guards against two rows with one member: setting a key must change exactly that key.
    for (const auto& section : config::site_record().fields) {
        const auto& record = *section.records;
        const bool is_map = section.shape == config::Field::Shape::map;
        std::set<std::string_view> seen;
        for (const auto& key : record.fields) {
            INFO(section.name << "." << key.name);
            CHECK(seen.insert(key.name).second);
            CHECK_FALSE(key.doc.empty());
            CHECK(key.doc.back() == '.');
            REQUIRE(key.shape == config::Field::Shape::value);
            CHECK_FALSE(key.type().empty());
            if (key.example.empty() || is_map) {
                continue;
            }
            const auto parsed =
                config::parse(std::string(section.name) + ": {" + std::string(key.name) + ": " +
                                  std::string(key.example) + "}\n",
                              "f");
            REQUIRE(parsed);
            for (const auto& other : record.fields) {
                const auto text = other.get(section.all(&*parsed).front().second);
                CHECK((text == config::default_text(record, other)) == (&other != &key));
            }
        }
    }
}

TEST_CASE("scalars are put in quotes where YAML needs it") {
    CHECK(config::yaml_scalar("plain") == "plain");
    CHECK(config::yaml_scalar("/a/b") == "/a/b");
    for (const auto* text : {"", "true", "No", "0755", "a b", "~", "a: b", "x:", "- x", "#", "\"",
                             "\\", "a\nb", "\x1b", "é", "{", "1.5", "null"}) {
        INFO(text);
        const auto parsed =
            config::parse("launcher: {env: {X: " + config::yaml_scalar(text) + "}}\n", "f");
        REQUIRE(parsed);
        CHECK(parsed->launcher.env.at("X") == text);
    }
}
