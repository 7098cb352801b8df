// SPDX-License-Identifier: Apache-2.0
#include "base/text.hpp"

#include "base/format.hpp"
#include "base/utf8.hpp"

#include <algorithm>
#include <array>
#include <limits>

namespace slipway::base {
namespace {

struct Unit {
    std::string_view name;
    std::uint64_t factor;
};

constexpr std::uint64_t kib = 1024;
constexpr Unit size_units[] = {
    {"", 1},           {"B", 1},
    {"K", kib},        {"KiB", kib},
    {"M", kib * kib},  {"MiB", kib * kib},
    {"G", kib * kib * kib}, {"GiB", kib * kib * kib},
    {"T", kib * kib * kib * kib}, {"TiB", kib * kib * kib * kib},
};
// No bare number: 7 is meant as days by whoever writes it, and would be seconds.
constexpr Unit time_units[] = {{"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}};

Result<std::uint64_t> parse_with_unit(std::string_view text, std::span<const Unit> units,
                                      std::string_view example) {
    const auto end = std::min(text.find_first_not_of("0123456789"), text.size());
    TRY_ASSIGN(const auto number, parse_u64(text.substr(0, end)));
    const auto unit = text.substr(end);
    for (const auto& known : units) {
        if (known.name == unit) {
            if (number > std::numeric_limits<std::uint64_t>::max() / known.factor) {
                return fail(Code::option_invalid, in_quotes(text) + " is too large");
            }
            return number * known.factor;
        }
    }
    return fail(Code::option_invalid, in_quotes(text) + (unit.empty() ? " has no unit" : " has an unknown unit"),
                fmt::format("write for example {}", example));
}

struct Range {
    char32_t first;
    char32_t last;
};
/// Characters that show nothing themselves but change how others are shown, or hide between them: the
/// general categories Cf, Zl and Zp of Unicode 15 and what is Default_Ignorable_Code_Point there
/// (direction marks and overrides, zero-width characters, fillers, variation selectors, tags). With
/// them a name can look like another one, or a line be read in another order.
constexpr Range invisible[] = {
    {0x00AD, 0x00AD},   {0x034F, 0x034F},   {0x0600, 0x0605},   {0x061C, 0x061C},
    {0x06DD, 0x06DD},   {0x070F, 0x070F},   {0x0890, 0x0891},   {0x08E2, 0x08E2},
    {0x115F, 0x1160},   {0x17B4, 0x17B5},   {0x180B, 0x180F},   {0x200B, 0x200F},
    {0x2028, 0x202E},   {0x2060, 0x206F},   {0x3164, 0x3164},   {0xFE00, 0xFE0F},
    {0xFEFF, 0xFEFF},   {0xFFA0, 0xFFA0},   {0xFFF0, 0xFFFB},   {0x110BD, 0x110BD},
    {0x110CD, 0x110CD}, {0x13430, 0x1343F}, {0x1BCA0, 0x1BCA3}, {0x1D173, 0x1D17A},
    {0xE0000, 0xE0FFF},
};

/// The code point of a well-formed sequence of two bytes or more.
char32_t decoded(std::string_view sequence) noexcept {
    const auto lead = static_cast<unsigned char>(sequence.front());
    char32_t value = lead & (0xFFU >> (sequence.size() + 1));
    for (const char c : sequence.substr(1)) {
        value = value << 6U | (static_cast<unsigned char>(c) & 0x3FU);
    }
    return value;
}

/// Length of the UTF-8 sequence at the front that drives no terminal and deceives no reader, else 0.
std::size_t harmless_length(std::string_view text) noexcept {
    const auto first = static_cast<unsigned char>(text.front());
    if (first < 0x80) {
        return first < 0x20 || first == 0x7F ? 0 : 1;
    }
    const auto length = utf8_length(text);
    if (length == 0) {
        return 0;
    }
    const auto c = decoded(text.substr(0, length));
    const bool control = c < 0xA0; // U+0080..U+009F
    const bool hidden = std::any_of(std::begin(invisible), std::end(invisible), [c](const Range& range) {
        return c >= range.first && c <= range.last;
    });
    return control || hidden ? 0 : length;
}

/// Columns that a terminal needs: bytes that begin a character.
std::size_t columns(std::string_view text) {
    const auto begins = [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; };
    return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), begins));
}

} // namespace

std::vector<std::string_view> split(std::string_view text, char separator) {
    std::vector<std::string_view> pieces;
    for (;;) {
        const auto at = text.find(separator);
        pieces.push_back(text.substr(0, at));
        if (at == std::string_view::npos) {
            return pieces;
        }
        text.remove_prefix(at + 1);
    }
}

std::string_view trim(std::string_view text) noexcept {
    const auto first = text.find_first_not_of(" \t");
    if (first == std::string_view::npos) {
        return {};
    }
    return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

Result<std::uint64_t> parse_u64(std::string_view text, std::uint64_t max) {
    std::uint64_t value = 0;
    if (text.empty()) {
        return fail(Code::option_invalid, "a number is missing");
    }
    for (const char c : text) {
        if (c < '0' || c > '9') {
            return fail(Code::option_invalid, in_quotes(text) + " is not a decimal number");
        }
        const auto digit = static_cast<std::uint64_t>(c - '0');
        if (value > (max - digit) / 10 || digit > max) {
            return fail(Code::option_invalid, fmt::format("{} is larger than {}", in_quotes(text), max));
        }
        value = value * 10 + digit;
    }
    return value;
}

Result<std::uint64_t> parse_size(std::string_view text) {
    return parse_with_unit(text, size_units, "512MiB or 20TiB");
}

Result<std::uint64_t> parse_duration(std::string_view text) {
    return parse_with_unit(text, time_units, "90s, 5m, 2h or 7d");
}

std::string size_text(std::uint64_t bytes) {
    static constexpr std::array<std::string_view, 6> names{"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    if (bytes < kib) {
        return fmt::format("{} B", bytes);
    }
    double value = static_cast<double>(bytes);
    std::size_t unit = 0;
    while (value >= 1024.0 && unit + 1 < names.size()) {
        value /= 1024.0;
        ++unit;
    }
    return fmt::format("{:.1f} {}", value, names[unit]);
}

std::string wrapped(std::string_view text, std::string_view margin, std::size_t width) {
    std::string out;
    std::string line;
    for (const auto word : split(text, ' ')) {
        if (!line.empty() && columns(margin) + columns(line) + 1 + columns(word) > width) {
            out += fmt::format("{}{}\n", margin, line);
            line.clear();
        }
        line += line.empty() ? "" : " ";
        line += word;
    }
    return out + fmt::format("{}{}\n", margin, line);
}

std::string printable(std::string_view text) {
    std::string safe;
    safe.reserve(text.size());
    while (!text.empty()) {
        if (const auto length = harmless_length(text); length != 0) {
            safe += text.substr(0, length);
            text.remove_prefix(length);
            continue;
        }
        // All bytes of a character: what is left of one would be no UTF-8 anyway.
        const auto whole = std::max<std::size_t>(utf8_length(text), 1);
        for (const char c : text.substr(0, whole)) {
            safe += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
        }
        text.remove_prefix(whole);
    }
    return safe;
}

std::string in_quotes(std::string_view text, std::size_t max) {
    std::string safe = printable(text.substr(0, max));
    return "'" + safe + (text.size() > max ? "…'" : "'");
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
    for (std::size_t j = 0; j <= b.size(); ++j) {
        last[j] = j;
    }
    for (std::size_t i = 1; i <= a.size(); ++i) {
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t replace = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
            row[j] = std::min({replace, last[j] + 1, row[j - 1] + 1});
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                row[j] = std::min(row[j], before[j - 2] + 1);
            }
        }
        before.swap(last);
        last.swap(row);
    }
    return last[b.size()];
}

std::string_view did_you_mean(std::string_view wrong, std::span<const std::string_view> known) {
    std::string_view best;
    std::size_t best_distance = wrong.size() / 3 + 2; // more edits than that is another word
    if (wrong.size() > 64) {
        return {};
    }
    for (const auto candidate : known) {
        const auto distance = edit_distance(wrong, candidate);
        if (distance < best_distance) {
            best_distance = distance;
            best = candidate;
        }
    }
    return best;
}

std::string to_hex(std::span<const std::uint8_t> bytes) {
    static constexpr char digits[] = "0123456789abcdef";
    std::string hex;
    hex.reserve(bytes.size() * 2);
    for (const auto byte : bytes) {
        hex += digits[byte >> 4U];
        hex += digits[byte & 15U];
    }
    return hex;
}

} // namespace slipway::base
