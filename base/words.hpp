// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace slipway::base {

// ASCII only, whatever the locale.
constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
constexpr bool is_lower(char c) noexcept { return c >= 'a' && c <= 'z'; }
constexpr bool is_upper(char c) noexcept { return c >= 'A' && c <= 'Z'; }
constexpr bool is_letter(char c) noexcept { return is_lower(c) || is_upper(c); }
constexpr bool is_alphanumeric(char c) noexcept { return is_letter(c) || is_digit(c); }
constexpr char to_lower(char c) noexcept {
    return is_upper(c) ? static_cast<char>(c - 'A' + 'a') : c;
}
constexpr char to_upper(char c) noexcept {
    return is_lower(c) ? static_cast<char>(c - 'a' + 'A') : c;
}
std::string to_lower(std::string_view text);
std::string to_upper(std::string_view text);
bool equal_ignoring_case(std::string_view a, std::string_view b) noexcept;

/// A name of a shell or environment variable: [A-Za-z_][A-Za-z0-9_]*.
constexpr bool is_identifier(std::string_view name) noexcept {
    if (name.empty() || is_digit(name.front())) {
        return false;
    }
    for (const char c : name) {
        if (!is_alphanumeric(c) && c != '_') {
            return false;
        }
    }
    return true;
}

/// Digits of hexadecimal numbers; -1 for other characters. Upper and lower case.
constexpr int hex_value(char c) noexcept {
    if (is_digit(c)) {
        return c - '0';
    }
    const char lower = to_lower(c);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/// Only 0-9 and a-f, and at least one of them: the form of digests.
bool is_lower_hex(std::string_view text) noexcept;

/// Bytes from pairs of hexadecimal digits; nothing when it is not that.
std::optional<std::vector<std::uint8_t>> from_hex(std::string_view text);

/// One word for a POSIX shell, in single quotes whatever it holds.
std::string shell_quote(std::string_view word);

/// One CSV record (RFC 4180) from text[at] on; moves `at` behind its newline, or to the end.
/// Strict: a quote inside a plain field, text after a closing quote and a quote without its partner
/// are Code::option_invalid. "" gives one empty field.
Result<std::vector<std::string>> csv_record(std::string_view text, std::size_t& at);
/// The record that is the whole text, in which newlines are plain characters.
Result<std::vector<std::string>> csv_fields(std::string_view text);

} // namespace slipway::base
