// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.hpp"

#include <cstdint>
#include <functional>
#include <stop_token>

namespace slipway::base {

/// Copies the first `size` bytes of one open regular file to the position of another; both
/// descriptors stay the caller's, and the position of `from` where it is. The kernel copies, and
/// where the file system can, an empty file shares its blocks with the source. `progress` gets the
/// bytes done so far. Code::interrupted on `stop`; Code::io when `from` is shorter by now, and for
/// errors of either file; Code::out_of_space.
Result<void> copy_file(int from, int to, std::uint64_t size, const std::stop_token& stop,
                       const std::function<void(std::uint64_t)>& progress = {});

} // namespace slipway::base
