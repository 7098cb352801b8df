// SPDX-License-Identifier: Apache-2.0
#include "prefetch/transfer/headers.hpp"

#include "base/text.hpp"
#include "base/words.hpp"

#include <algorithm>

#include <curl/curl.h>

namespace slipway::prefetch::transfer {
namespace {

std::optional<std::uint64_t> number(std::string_view text) {
    auto value = base::parse_u64(text);
    return value ? std::optional<std::uint64_t>(*value) : std::nullopt;
}

} // namespace

void Headers::add(std::string_view name, std::string_view value) {
    fields_.emplace_back(std::string(name), std::string(value));
}

std::string_view Headers::get(std::string_view name) const noexcept {
    for (const auto& [key, value] : fields_) {
        if (base::equal_ignoring_case(key, name)) {
            return value;
        }
    }
    return {};
}

bool Headers::has(std::string_view name) const noexcept {
    return std::any_of(fields_.begin(), fields_.end(),
                       [&](const auto& field) { return base::equal_ignoring_case(field.first, name); });
}

std::vector<std::string> Headers::all(std::string_view name) const {
    std::vector<std::string> values;
    for (const auto& [key, value] : fields_) {
        if (base::equal_ignoring_case(key, name)) {
            values.push_back(value);
        }
    }
    return values;
}

std::string media_type_of(std::string_view content_type) {
    return base::to_lower(base::trim(content_type.substr(0, content_type.find(';'))));
}

std::optional<std::uint64_t> content_length(const Headers& headers) {
    return number(headers.get("Content-Length"));
}

std::optional<ContentRange> parse_content_range(std::string_view value) {
    value = base::trim(value);
    if (value.size() < 6 || !base::equal_ignoring_case(value.substr(0, 5), "bytes")) {
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
    const std::string text(base::trim(value));
    // Every form of an HTTP date begins with the name of the day; libcurl takes more than that.
    if (text.empty() || !base::is_letter(text.front())) {
        return std::nullopt;
    }
    const auto time = curl_getdate(text.c_str(), nullptr);
    return time < 0 ? std::nullopt
                    : std::optional(std::chrono::sys_seconds(std::chrono::seconds(time)));
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
