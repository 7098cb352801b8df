// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.hpp"

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace slipway::base {

/// Splits at every `separator`; "a,,b" gives three pieces, "" gives one empty piece.
std::vector<std::string_view> split(std::string_view text, char separator);

/// What `show` makes of each piece, with `separator` between two of them.
template <typename Pieces, typename Show = std::identity>
std::string joined(const Pieces& pieces, std::string_view separator, Show show = {}) {
    std::string out;
    bool first = true;
    for (const auto& piece : pieces) {
        out += first ? std::string_view() : separator;
        out += std::invoke(show, piece);
        first = false;
    }
    return out;
}

std::string_view trim(std::string_view text) noexcept; ///< without blanks and tabs at both ends

/// Strict decimal: digits only, no sign, no blanks, no overflow beyond `max`.
Result<std::uint64_t> parse_u64(std::string_view text, std::uint64_t max = UINT64_MAX);

/// Bytes: "512", "512B", "64KiB", "100MiB", "2GiB", "20TiB"; also K, M, G, T (powers of 1024).
Result<std::uint64_t> parse_size(std::string_view text);

/// Seconds: "90s", "5m", "2h", "7d"; a number without unit is an error.
Result<std::uint64_t> parse_duration(std::string_view text);

/// "1.5 GiB" for people.
std::string size_text(std::uint64_t bytes);

/// The words of `text` in lines of at most `width` columns, each behind `margin`. A longer word has a
/// line of its own.
std::string wrapped(std::string_view text, std::string_view margin, std::size_t width);

/// Control and format characters (direction overrides, zero-width …) and invalid UTF-8 become \xNN,
/// byte by byte: foreign text cannot drive a terminal, break a log line or look like other text.
std::string printable(std::string_view text);

/// 'text' in single quotes and printable, cut after `max` characters with "…".
std::string in_quotes(std::string_view text, std::size_t max = 200);

/// Fewest single-character edits from a to b (insert, delete, replace, swap neighbours).
std::size_t edit_distance(std::string_view a, std::string_view b);

/// The nearest of `known` when it is near enough to be a typo, else empty.
std::string_view did_you_mean(std::string_view wrong, std::span<const std::string_view> known);

/// Lower-case hexadecimal.
std::string to_hex(std::span<const std::uint8_t> bytes);

} // namespace slipway::base
