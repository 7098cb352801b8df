// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string_view>

namespace slipway::base {

/// Length of the UTF-8 sequence at the front of `text` (not empty), 0 when there is none: overlong
/// forms, surrogates and what lies beyond U+10FFFF are no UTF-8 (RFC 3629).
std::size_t utf8_length(std::string_view text) noexcept;

} // namespace slipway::base
