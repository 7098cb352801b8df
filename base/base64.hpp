// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace slipway::base {

/// Standard alphabet with padding (RFC 4648 section 4). Callers wipe what is secret.
std::string base64_encode(std::string_view bytes);
/// The same; padding may be missing. Nothing when there are foreign characters.
std::optional<std::string> base64_decode(std::string_view text);

} // namespace slipway::base
