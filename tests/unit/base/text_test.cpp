// SPDX-License-Identifier: Apache-2.0
#include "base/text.hpp"

#include <array>

#include <catch2/catch.hpp>

using namespace slipway::base;

TEST_CASE("numbers are strict decimals") {
    CHECK(parse_u64("0") == 0U);
    CHECK(parse_u64("18446744073709551615") == UINT64_MAX);
    CHECK_FALSE(parse_u64("18446744073709551616"));
    CHECK_FALSE(parse_u64(""));
    CHECK_FALSE(parse_u64("-1"));
    CHECK_FALSE(parse_u64(" 1"));
    CHECK_FALSE(parse_u64("1x"));
    CHECK(parse_u64("255", 255) == 255U);
    CHECK_FALSE(parse_u64("256", 255));
    CHECK_FALSE(parse_u64("9", 5));
}

TEST_CASE("sizes and durations take units") {
    CHECK(parse_size("128KiB") == 128U * 1024U);
    CHECK(parse_size("20TiB") == 20ULL << 40U);
    CHECK(parse_size("7") == 7U);
    CHECK_FALSE(parse_size("7KB"));
    CHECK_FALSE(parse_size("99999999999TiB"));
    CHECK(parse_duration("7d") == 7U * 86400U);
    CHECK(parse_duration("90s") == 90U);
    CHECK_FALSE(parse_duration("1w"));
    CHECK_FALSE(parse_duration("7"));
    CHECK(size_text(1536) == "1.5 KiB");
    CHECK(size_text(7) == "7 B");
}

TEST_CASE("foreign text cannot drive a terminal") {
    CHECK(printable("a\x1b[31mb\n") == "a\\x1b[31mb\\x0a");
    CHECK(printable("gr\xc3\xbc\xc3\x9f") == "gr\xc3\xbc\xc3\x9f");
    CHECK(printable("\xc2\x9b") == "\\xc2\\x9b");
    CHECK(printable("\xff\xc3") == "\\xff\\xc3");
    // Direction marks, embeddings, overrides, isolates; zero-width and line-separating characters.
    for (const std::string hidden :
         {"\u200E", "\u200F", "\u061C", "\u202A", "\u202B", "\u202C", "\u202D", "\u202E", "\u2066",
          "\u2067", "\u2068", "\u2069", "\u200B", "\u200C", "\u200D", "\u2060", "\uFEFF", "\u00AD",
          "\u2028", "\u2029", "\u180E", "\u3164", "\uFFA0", "\uFE0F", "\uFFF9", "\U000E0041",
          "\U000E0001", "\U000E0100", "\U0001D173"}) {
        const auto shown = printable("a" + hidden + "b");
        INFO(shown);
        CHECK(shown.size() == 2 + 4 * hidden.size());
        CHECK(shown.find_first_not_of("ab\\x0123456789cdef") == std::string::npos);
    }
    CHECK(printable("user\u202Egnp.exe") == "user\\xe2\\x80\\xaegnp.exe");
    // Letters of all scripts, punctuation and symbols stay, also those beside the hidden ones.
    for (const std::string seen : {"é", "ß", "…", "‐", "‰", "日本", "नमस्ते", "עברית", "العربية", "😀",
                                   "\U000DFFFD", "\uFFFD", "\u205F"}) {
        CHECK(printable(seen) == seen);
    }
    CHECK(in_quotes("abc", 2) == "'ab…'");
}

TEST_CASE("near misses are found") {
    constexpr std::array<std::string_view, 3> known{"store", "service", "launcher"};
    CHECK(did_you_mean("stroe", known) == "store");
    CHECK(did_you_mean("lancher", known) == "launcher");
    CHECK(did_you_mean("xyz", known).empty());
    CHECK(edit_distance("ab", "ba") == 1);
}

TEST_CASE("errors are one line with code and hint") {
    const Error error{Code::image_not_found, 2, "cannot open 'x'\n", "look"};
    CHECK(error.one_line() == "image-not-found: cannot open 'x'\\x0a (hint: look)");
    CHECK(code_from_name("image-not-found") == Code::image_not_found);
    CHECK(code_from_name("no-such-code") == Code::internal);
    CHECK(exit_code_for(Code::usage) == ExitCode::usage);
    CHECK(exit_code_for(Code::io) == ExitCode::setup);
}

TEST_CASE("splitting keeps empty pieces") {
    CHECK(split("a,,b", ',').size() == 3);
    CHECK(split("", ',').size() == 1);
    CHECK(trim(" \ta b\t") == "a b");
    CHECK(trim("  ").empty());
}

TEST_CASE("pieces are joined, and words wrapped by the columns that they take") {
    constexpr std::array<std::string_view, 3> pieces{"", "b", "c"};
    CHECK(joined(pieces, ", ") == ", b, c");
    CHECK(joined(std::array{1, 2}, "+", [](int n) { return std::to_string(n); }) == "1+2");
    CHECK(joined(std::vector<std::string>{}, ", ").empty());
    CHECK(wrapped("one two three", "# ", 9) == "# one two\n# three\n");
    CHECK(wrapped("\u00e9\u00e9\u00e9 \u00e9", "", 5) == "\u00e9\u00e9\u00e9 \u00e9\n");
    CHECK(wrapped("unbreakable x", "  ", 4) == "  unbreakable\n  x\n");
}
