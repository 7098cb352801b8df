// SPDX-License-Identifier: Apache-2.0
#include "base/json.hpp"

#include <catch2/catch.hpp>

#include <string>

using namespace slipway;
using base::json::Value;

TEST_CASE("JSON shows what is in it and drives no terminal") {
    CHECK(base::json::compact(Value{{"a", "plain"}}) == R"({"a":"plain"})");
    CHECK(base::json::compact(Value{{"name", "Käse 日本 😀"}}) == "{\"name\":\"Käse 日本 😀\"}");
    CHECK(base::json::indented(Value{{"a", "ä\tb"}}) == "{\n\t\"a\": \"ä\\tb\"\n}");
    for (const auto& [character, escape] :
         {std::pair<std::string, std::string>{"\u202E", "\\u202e"},
          {"\u2066", "\\u2066"},
          {"\u200B", "\\u200b"},
          {"\uFEFF", "\\ufeff"},
          {"\u2028", "\\u2028"},
          {"\u009B", "\\u009b"},
          {"\x7F", "\\u007f"},
          {"\x1B", "\\u001b"},
          {"\n", "\\n"},
          {"\U000E0041", "\\udb40\\udc41"}}) {
        const Value value{{"ä" + character + "\"k", "x" + character}};
        const auto text = base::json::compact(value);
        CHECK(text == "{\"ä" + escape + "\\\"k\":\"x" + escape + "\"}");
        CHECK(base::json::compact(base::json::OrderedValue{{"x", character}}) ==
              "{\"x\":\"" + escape + "\"}");
        for (const auto& written : {text, base::json::indented(value)}) {
            const auto read =
                base::json::parse_object(written, 1000, base::Code::internal, "what was written");
            REQUIRE(read);
            CHECK(*read == value);
        }
    }
    CHECK(base::json::compact(Value("\xFFx")) == "\"\uFFFDx\"");
}
