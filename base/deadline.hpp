// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ctime>

namespace slipway::base {

/// A point in time on the monotonic clock; what is left until then, for a series of bounded waits.
class Deadline {
  public:
    /// timeout_ms from now; < 0: never.
    explicit Deadline(int timeout_ms) noexcept;
    static Deadline never() noexcept { return Deadline(-1); }

    /// As poll(2) wants it: milliseconds rounded up, 0 when it has passed, -1 for never.
    [[nodiscard]] int remaining_ms() const noexcept;
    [[nodiscard]] bool passed() const noexcept { return remaining_ms() == 0; }

  private:
    timespec until_{};
    bool never_ = false;
};

} // namespace slipway::base
