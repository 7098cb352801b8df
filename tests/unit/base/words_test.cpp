// SPDX-License-Identifier: Apache-2.0
#include "base/enum_table.hpp"
#include "base/errno_code.hpp"
#include "base/words.hpp"

#include <catch2/catch.hpp>

using namespace slipway;
using base::Code;

TEST_CASE("identifiers are what a shell can assign to") {
    for (const auto* good : {"a", "_", "A1_b", "PATH"}) {
        CHECK(base::is_identifier(good));
    }
    for (const auto* bad : {"", "1a", "a-b", "a b", "a.b", "\xc3\xa4", "a="}) {
        CHECK_FALSE(base::is_identifier(bad));
    }
}

TEST_CASE("case and hexadecimal digits are ASCII's") {
    CHECK(base::to_lower(std::string_view("Az09-\xc3\x84")) == "az09-\xc3\x84");
    CHECK(base::to_upper(std::string_view("Az")) == "AZ");
    CHECK(base::equal_ignoring_case("Content-Type", "cONTENT-tYPE"));
    CHECK_FALSE(base::equal_ignoring_case("a", "ab"));
    CHECK(base::is_lower_hex("09af"));
    CHECK_FALSE(base::is_lower_hex(""));
    CHECK_FALSE(base::is_lower_hex("0A"));
    CHECK(base::from_hex("00fF") == std::vector<std::uint8_t>{0, 255});
    CHECK(base::from_hex("").value().empty());
    CHECK_FALSE(base::from_hex("0"));
    CHECK_FALSE(base::from_hex("0g"));
}

TEST_CASE("a quoted word is one word for a shell") {
    CHECK(base::shell_quote("") == "''");
    CHECK(base::shell_quote("a b$c") == "'a b$c'");
    CHECK(base::shell_quote("it's") == "'it'\\''s'");
}

TEST_CASE("CSV records follow RFC 4180") {
    using List = std::vector<std::string>;
    CHECK(base::csv_fields("a,b") == List{"a", "b"});
    CHECK(base::csv_fields("") == List{""});
    CHECK(base::csv_fields("a,") == List{"a", ""});
    CHECK(base::csv_fields("\"a,b\",\"c\"\"d\"") == List{"a,b", "c\"d"});
    CHECK(base::csv_fields("a\nb") == List{"a\nb"});
    for (const auto* bad : {"\"a", "\"a\"b", "a\"b", "a,\""}) {
        CHECK(base::csv_fields(bad).error().code == Code::option_invalid);
    }
    std::size_t at = 0;
    CHECK(base::csv_record("a,b\nc", at) == List{"a", "b"});
    CHECK(base::csv_record("a,b\nc", at) == List{"c"});
    CHECK(at == 5);
}

namespace {
enum class Fruit { apple, pear };
constexpr base::EnumTable fruits = std::array{base::EnumRow{Fruit::apple, "apple"},
                                              base::EnumRow{Fruit::pear, "pear"}};
} // namespace

TEST_CASE("a table of names goes both ways") {
    static_assert(fruits.name(Fruit::pear) == "pear");
    static_assert(fruits.value("apple") == Fruit::apple);
    static_assert(!fruits.value("plum"));
    static_assert(fruits.name(static_cast<Fruit>(7)).empty());
    CHECK(fruits.names().size() == 2);
}

TEST_CASE("a full disk has one code") {
    for (const int err : {ENOSPC, EDQUOT, EFBIG}) {
        CHECK(base::fail_write(err, "x").value().code == Code::out_of_space);
    }
    CHECK(base::fail_write(EIO, "x").value().code == Code::io);
    CHECK(base::code_of_errno(EROFS, Code::store_unusable) == Code::store_unusable);
}
