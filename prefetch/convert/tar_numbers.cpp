// SPDX-License-Identifier: Apache-2.0
#include "prefetch/convert/tar_numbers.hpp"

#include <charconv>

namespace slipway::prefetch::convert {

using base::Code;
using base::fail;
using base::Result;

namespace {

Result<std::int64_t> base256(std::span<const std::uint8_t> field) {
    // Two's complement over the whole field; the top bit of the first byte only says "binary".
    const bool negative = (field[0] & 0x40U) != 0;
    std::uint64_t value = negative ? ~std::uint64_t{0} : 0;
    for (std::size_t i = 0; i < field.size(); ++i) {
        std::uint8_t byte = field[i];
        if (i == 0) {
            byte = static_cast<std::uint8_t>(negative ? byte | 0x80U : byte & 0x7fU);
        }
        const auto top = static_cast<std::int64_t>(value) >> 55; // must be pure sign before a shift
        if (top != 0 && top != -1) {
            return fail(Code::layer_invalid, "a base-256 number in a tar header is too large");
        }
        value = (value << 8U) | byte;
    }
    return static_cast<std::int64_t>(value);
}

} // namespace

Result<std::int64_t> parse_tar_number(std::span<const std::uint8_t> field) {
    if (!field.empty() && (field[0] & 0x80U) != 0) {
        return base256(field);
    }
    std::size_t at = 0;
    while (at < field.size() && (field[at] == ' ' || field[at] == 0)) {
        ++at;
    }
    std::int64_t value = 0;
    while (at < field.size() && field[at] >= '0' && field[at] <= '7') {
        if (value > (INT64_MAX >> 3)) {
            return fail(Code::layer_invalid, "an octal number in a tar header is too large");
        }
        value = value * 8 + (field[at] - '0');
        ++at;
    }
    if (at < field.size() && field[at] != ' ' && field[at] != 0) {
        return fail(Code::layer_invalid, "a number in a tar header is not octal");
    }
    return value;
}

Result<PaxRecords> parse_pax_records(std::string_view text) {
    PaxRecords out;
    while (!text.empty()) {
        std::size_t length = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), length);
        const auto digits = static_cast<std::size_t>(end - text.data());
        if (error != std::errc{} || digits == 0 || digits >= text.size() || text[digits] != ' ') {
            return fail(Code::layer_invalid, "a pax header has a record without a length");
        }
        // The shortest record is "5 k=\n"; the length counts itself, the blank and the newline.
        if (length < digits + 3 || length > text.size() || text[length - 1] != '\n') {
            return fail(Code::layer_invalid, "a pax header has a record of a wrong length");
        }
        const std::string_view body = text.substr(digits + 1, length - digits - 2);
        const std::size_t equals = body.find('=');
        if (equals == std::string_view::npos || equals == 0) {
            return fail(Code::layer_invalid, "a pax header has a record without a key");
        }
        out.emplace_back(body.substr(0, equals), body.substr(equals + 1));
        text.remove_prefix(length);
    }
    return out;
}

} // namespace slipway::prefetch::convert
