// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.hpp"
#include "prefetch/transfer/headers.hpp"

#include <chrono>
#include <functional>
#include <optional>
#include <stop_token>

namespace slipway::prefetch::transfer {

/// Time as the retry code sees it, replaceable in tests.
struct Pace {
    /// Waits that long; false when stop was requested before.
    std::function<bool(std::chrono::milliseconds, const std::stop_token&)> sleep;
    std::function<std::chrono::sys_seconds()> now;
    std::function<double()> jitter; ///< evenly from [0, 1)
};
Pace real_pace();

struct RetryPolicy {
    int attempts = 5;         ///< in a row without progress
    int connect_attempts = 3; ///< when no connection comes about: mostly a wrong name
    /// Somebody else can be asked: where nothing has come yet, one attempt to connect is enough.
    bool others_are_left = false;
    std::chrono::milliseconds first_delay{1'000};
    std::chrono::milliseconds longest_delay{60'000};
    /// A server that asks to stay away for longer than this is taken at its word: the download
    /// fails at once with its text.
    std::chrono::seconds longest_retry_after{120};
};

/// 408, 429, 500, 502, 503, 504.
bool retryable_status(int status) noexcept;

/// Pause before attempt `failures`+1: doubling, between 75 % and 125 % of the nominal time, so that
/// a thousand nodes which failed together do not come back together.
std::chrono::milliseconds backoff(const RetryPolicy& policy, int failures, double jitter);

/// An attempt that failed.
struct Failure {
    base::Error error;
    bool transient = false;
    std::optional<std::chrono::seconds> retry_after;
    bool never_connected = false;
};

/// Counts failures and waits between attempts.
class Retrier {
  public:
    Retrier(const RetryPolicy& policy, const Pace& pace, std::stop_token stop)
        : policy_(policy), pace_(pace), stop_(std::move(stop)) {}

    /// Waits before the next attempt. Gives the failure's own error when there is to be none.
    base::Result<void> wait(Failure failure);
    void progressed() noexcept { failures_ = 0; }
    /// There is a good reply, of which others know nothing.
    void answered() noexcept { policy_.others_are_left = false; }

  private:
    RetryPolicy policy_;
    Pace pace_;
    std::stop_token stop_;
    int failures_ = 0;
};

} // namespace slipway::prefetch::transfer
