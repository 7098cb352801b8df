// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace slipway::image {

/// Whether a file that begins so is a Singularity definition file: behind blank lines and comments
/// comes a header `Bootstrap: …` (any case) or a section (`%post`). Pure.
bool looks_like_definition(std::string_view head) noexcept;

} // namespace slipway::image
