// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/secret.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace slipway::prefetch::credentials {

/// Standard alphabet with padding (RFC 4648 section 4).
base::Secret base64_encode(std::string_view bytes);
/// The same, padding may be missing. Nothing when there are foreign characters; the caller wipes.
std::optional<std::string> base64_decode(std::string_view text);

} // namespace slipway::prefetch::credentials
