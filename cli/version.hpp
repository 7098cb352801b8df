// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#ifndef SLIPWAY_VERSION
#error "the build must say which version this is"
#endif

namespace slipway::cli {

inline constexpr std::string_view version_text = SLIPWAY_VERSION;

} // namespace slipway::cli
