// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace slipway::prefetch::transfer {

/// Header fields of a reply in the order of arrival. Names compare without case.
class Headers {
  public:
    void add(std::string_view name, std::string_view value);
    /// First value of that name; empty when there is none.
    [[nodiscard]] std::string_view get(std::string_view name) const noexcept;
    [[nodiscard]] std::vector<std::string> all(std::string_view name) const;
    [[nodiscard]] bool has(std::string_view name) const noexcept;
    [[nodiscard]] std::size_t size() const noexcept { return fields_.size(); }
    void clear() noexcept { fields_.clear(); }

  private:
    std::vector<std::pair<std::string, std::string>> fields_;
};

/// "text/html; charset=x" -> "text/html", lower case.
std::string media_type_of(std::string_view content_type);

/// Content-Length as a number; nothing when it is absent or not one number.
std::optional<std::uint64_t> content_length(const Headers& headers);

/// Content-Range of a 206 (RFC 9110 section 14.4): "bytes FIRST-LAST/TOTAL", TOTAL may be "*".
struct ContentRange {
    std::uint64_t first = 0;
    std::uint64_t last = 0;
    std::optional<std::uint64_t> total;
};
std::optional<ContentRange> parse_content_range(std::string_view value);

/// An HTTP date in any of its forms (RFC 9110 section 5.6.7): "Sun, 06 Nov 1994 08:49:37 GMT".
std::optional<std::chrono::sys_seconds> parse_http_date(std::string_view value);

/// Retry-After: seconds or an HTTP date. A date in the past is zero. Nothing when it makes no sense.
std::optional<std::chrono::seconds> parse_retry_after(std::string_view value,
                                                      std::chrono::sys_seconds now);

} // namespace slipway::prefetch::transfer
