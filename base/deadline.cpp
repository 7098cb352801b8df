// SPDX-License-Identifier: Apache-2.0
#include "base/deadline.hpp"

#include <climits>

namespace slipway::base {

Deadline::Deadline(int timeout_ms) noexcept : never_(timeout_ms < 0) {
    ::clock_gettime(CLOCK_MONOTONIC, &until_);
    if (!never_) {
        until_.tv_sec += timeout_ms / 1000;
        until_.tv_nsec += (timeout_ms % 1000) * 1000000L;
    }
}

int Deadline::remaining_ms() const noexcept {
    if (never_) {
        return -1;
    }
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    const long long left = (until_.tv_sec - now.tv_sec) * 1000LL * 1000 * 1000 +
                           (until_.tv_nsec - now.tv_nsec);
    if (left <= 0) {
        return 0;
    }
    // Rounded up: a wait that ends just before the deadline would begin another one of 0 ms.
    const long long ms = (left + 999999) / 1000000;
    return ms > INT_MAX ? INT_MAX : static_cast<int>(ms);
}

} // namespace slipway::base
