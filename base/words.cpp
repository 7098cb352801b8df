// SPDX-License-Identifier: Apache-2.0
#include "base/words.hpp"

#include <algorithm>

namespace slipway::base {
namespace {

std::string mapped(std::string_view text, char (*map)(char)) {
    std::string out(text);
    std::transform(out.begin(), out.end(), out.begin(), map);
    return out;
}

/// A field in double quotes; `at` is behind the first quote and moves behind the last.
Result<std::string> quoted_field(std::string_view text, std::size_t& at) {
    std::string field;
    while (at < text.size()) {
        const char c = text[at++];
        if (c != '"') {
            field += c;
        } else if (at < text.size() && text[at] == '"') {
            field += text[at++];
        } else {
            return field;
        }
    }
    return fail(Code::option_invalid, "a double quote is not closed", "close the double quote");
}

Result<std::vector<std::string>> record(std::string_view text, std::size_t& at, bool lines) {
    const auto ends = [&](char c) { return c == ',' || (lines && c == '\n'); };
    std::vector<std::string> fields(1);
    while (at < text.size()) {
        const char c = text[at++];
        if (c == '"' && fields.back().empty()) {
            TRY_ASSIGN(fields.back(), quoted_field(text, at));
            if (at < text.size() && !ends(text[at])) {
                return fail(Code::option_invalid, "text after a closing double quote");
            }
        } else if (c == '"') {
            return fail(Code::option_invalid, "a double quote inside a plain field",
                        "quote the whole field: \"source=/a,b\"");
        } else if (c == ',') {
            fields.emplace_back();
        } else if (ends(c)) {
            break;
        } else {
            fields.back() += c;
        }
    }
    return fields;
}

} // namespace

std::string to_lower(std::string_view text) {
    return mapped(text, [](char c) { return to_lower(c); });
}

std::string to_upper(std::string_view text) {
    return mapped(text, [](char c) { return to_upper(c); });
}

bool equal_ignoring_case(std::string_view a, std::string_view b) noexcept {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [](char x, char y) { return to_lower(x) == to_lower(y); });
}

bool is_lower_hex(std::string_view text) noexcept {
    return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
        return is_digit(c) || (c >= 'a' && c <= 'f');
    });
}

std::optional<std::vector<std::uint8_t>> from_hex(std::string_view text) {
    if (text.size() % 2 != 0) {
        return std::nullopt;
    }
    std::vector<std::uint8_t> bytes;
    bytes.reserve(text.size() / 2);
    for (std::size_t i = 0; i < text.size(); i += 2) {
        const int high = hex_value(text[i]);
        const int low = hex_value(text[i + 1]);
        if (high < 0 || low < 0) {
            return std::nullopt;
        }
        bytes.push_back(static_cast<std::uint8_t>(high * 16 + low));
    }
    return bytes;
}

std::string shell_quote(std::string_view word) {
    std::string out = "'";
    for (const char c : word) {
        if (c == '\'') {
            out += "'\\''";
        } else {
            out += c;
        }
    }
    return out + "'";
}

Result<std::vector<std::string>> csv_record(std::string_view text, std::size_t& at) {
    return record(text, at, true);
}

Result<std::vector<std::string>> csv_fields(std::string_view text) {
    std::size_t at = 0;
    return record(text, at, false);
}

} // namespace slipway::base
