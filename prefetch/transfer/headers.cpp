// SPDX-License-Identifier: Apache-2.0
#include "prefetch/transfer/headers.hpp"

#include "base/text.hpp"

#include <algorithm>
#include <array>

namespace slipway::prefetch::transfer {
namespace {

char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::optional<std::uint64_t> number(std::string_view text) {
    auto value = base::parse_u64(text);
    return value ? std::optional<std::uint64_t>(*value) : std::nullopt;
}

/// "08:49:37" as seconds of a day; a leap second counts as the one before it.
std::optional<int> time_of_day(std::string_view text) {
    if (text.size() != 8 || text[2] != ':' || text[5] != ':') {
        return std::nullopt;
    }
    const auto hours = number(text.substr(0, 2));
    const auto minutes = number(text.substr(3, 2));
    const auto seconds = number(text.substr(6, 2));
    if (!hours || !minutes || !seconds || *hours > 23 || *minutes > 59 || *seconds > 60) {
        return std::nullopt;
    }
    return static_cast<int>(*hours * 3600 + *minutes * 60 + std::min<std::uint64_t>(*seconds, 59));
}

unsigned month_number(std::string_view name) {
    constexpr std::array<std::string_view, 12> names{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    const auto* const found = std::find(names.begin(), names.end(), name);
    return found == names.end() ? 0 : static_cast<unsigned>(found - names.begin()) + 1;
}

} // namespace

bool equal_ignoring_case(std::string_view a, std::string_view b) noexcept {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [](char x, char y) { return lower(x) == lower(y); });
}

void Headers::add(std::string_view name, std::string_view value) {
    fields_.emplace_back(std::string(name), std::string(value));
}

std::string_view Headers::get(std::string_view name) const noexcept {
    for (const auto& [key, value] : fields_) {
        if (equal_ignoring_case(key, name)) {
            return value;
        }
    }
    return {};
}

bool Headers::has(std::string_view name) const noexcept {
    return std::any_of(fields_.begin(), fields_.end(),
                       [&](const auto& field) { return equal_ignoring_case(field.first, name); });
}

std::vector<std::string> Headers::all(std::string_view name) const {
    std::vector<std::string> values;
    for (const auto& [key, value] : fields_) {
        if (equal_ignoring_case(key, name)) {
            values.push_back(value);
        }
    }
    return values;
}

std::string media_type_of(std::string_view content_type) {
    std::string out(base::trim(content_type.substr(0, content_type.find(';'))));
    std::transform(out.begin(), out.end(), out.begin(), lower);
    return out;
}

std::optional<std::uint64_t> content_length(const Headers& headers) {
    return number(headers.get("Content-Length"));
}

std::optional<ContentRange> parse_content_range(std::string_view value) {
    value = base::trim(value);
    if (value.size() < 6 || !equal_ignoring_case(value.substr(0, 5), "bytes")) {
        return std::nullopt;
    }
    const auto rest = base::trim(value.substr(5));
    const auto dash = rest.find('-');
    const auto slash = rest.find('/');
    if (dash == std::string_view::npos || slash == std::string_view::npos || dash > slash) {
        return std::nullopt;
    }
    const auto first = number(rest.substr(0, dash));
    const auto last = number(rest.substr(dash + 1, slash - dash - 1));
    const auto total_text = rest.substr(slash + 1);
    const auto total = number(total_text);
    if (!first || !last || *last < *first || (!total && total_text != "*") ||
        (total && *total <= *last)) {
        return std::nullopt;
    }
    return ContentRange{*first, *last, total};
}

std::optional<std::chrono::sys_seconds> parse_http_date(std::string_view value) {
    const auto words = base::split(base::trim(value), ' ');
    if (words.size() != 6 || words[0].size() != 4 || words[5] != "GMT") {
        return std::nullopt;
    }
    const auto day = number(words[1]);
    const auto year = number(words[3]);
    const unsigned month = month_number(words[2]);
    const auto seconds = time_of_day(words[4]);
    if (!day || !year || month == 0 || !seconds || *day > 31 || *year < 1970 || *year > 9999) {
        return std::nullopt;
    }
    const std::chrono::year_month_day date{std::chrono::year(static_cast<int>(*year)),
                                           std::chrono::month(month),
                                           std::chrono::day(static_cast<unsigned>(*day))};
    if (!date.ok()) {
        return std::nullopt;
    }
    return std::chrono::sys_days(date) + std::chrono::seconds(*seconds);
}

std::optional<std::chrono::seconds> parse_retry_after(std::string_view value,
                                                      std::chrono::sys_seconds now) {
    value = base::trim(value);
    if (const auto seconds = base::parse_u64(value, 366ULL * 24 * 3600); seconds) {
        return std::chrono::seconds(*seconds);
    }
    const auto date = parse_http_date(value);
    if (!date) {
        return std::nullopt;
    }
    return std::max(*date - now, std::chrono::seconds(0));
}

} // namespace slipway::prefetch::transfer
