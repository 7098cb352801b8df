// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

namespace slipway::launcher::image_server {

/// Gives up everything that decoding a hostile image does not need, for good and for every thread
/// started later; see serve() for the list. Descriptors in `keep` stay open (negative ones are
/// ignored). False when a step failed or could not be verified: the process must then end. Call it
/// while the process has one thread.
bool enter_sandbox(std::span<const int> keep) noexcept;

} // namespace slipway::launcher::image_server
