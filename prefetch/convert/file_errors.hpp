// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.hpp"

#include <cstdint>
#include <span>

namespace slipway::prefetch::convert {

/// base::write_all_at for the image being written: a full disk or quota is Code::out_of_space with
/// advice.
base::Result<void> write_image(int fd, std::span<const std::uint8_t> data, std::uint64_t offset);

} // namespace slipway::prefetch::convert
