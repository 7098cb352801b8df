// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.hpp"

#include <cstdint>

namespace slipway::base {

/// Bit of a capability in the sets below.
constexpr std::uint64_t capability_bit(int capability) noexcept {
    return std::uint64_t{1} << static_cast<unsigned>(capability);
}

/// Makes exactly these capabilities permitted and effective, none inheritable and none ambient, and
/// reads all of it back: a security module may have had other ideas. Code::system.
Result<void> keep_only_capabilities(std::uint64_t kept);

/// No capability at all, in any set but the bounding set.
inline Result<void> drop_all_capabilities() { return keep_only_capabilities(0); }

/// Empties the bounding set, so that no file with capabilities gives any back. A process without
/// CAP_SETPCAP cannot, and has nothing to give away: that is no error. Call it before the drop.
void drop_bounding_set() noexcept;

} // namespace slipway::base
