// SPDX-License-Identifier: Apache-2.0
#include "prefetch/transfer/retry.hpp"

#include "base/format.hpp"
#include "base/log.hpp"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <random>

namespace slipway::prefetch::transfer {

using std::chrono::milliseconds;
using std::chrono::seconds;

Pace real_pace() {
    Pace pace;
    pace.sleep = [](milliseconds time, const std::stop_token& stop) {
        std::mutex mutex;
        std::condition_variable_any never;
        std::unique_lock lock(mutex);
        never.wait_for(lock, stop, time, [] { return false; });
        return !stop.stop_requested();
    };
    pace.now = [] {
        return std::chrono::time_point_cast<seconds>(std::chrono::system_clock::now());
    };
    pace.jitter = [] {
        thread_local std::minstd_rand generator(std::random_device{}());
        return std::uniform_real_distribution<double>(0.0, 1.0)(generator);
    };
    return pace;
}

bool retryable_status(int status) noexcept {
    return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 ||
           status == 504;
}

milliseconds backoff(const RetryPolicy& policy, int failures, double jitter) {
    auto nominal = policy.first_delay;
    for (int i = 1; i < failures && nominal < policy.longest_delay; ++i) {
        nominal *= 2;
    }
    nominal = std::min(nominal, policy.longest_delay);
    return milliseconds(
        static_cast<milliseconds::rep>(static_cast<double>(nominal.count()) * (0.75 + jitter / 2)));
}

base::Result<void> Retrier::wait(Failure failure) {
    if (!failure.transient || stop_.stop_requested()) {
        return base::Unexpected(std::move(failure.error));
    }
    ++failures_;
    if (failure.never_connected && policy_.others_are_left) {
        return base::Unexpected(std::move(failure.error));
    }
    if (failures_ >= (failure.never_connected ? policy_.connect_attempts : policy_.attempts)) {
        return base::Unexpected(
            std::move(failure.error).context(fmt::format("given up after {} attempts", failures_)));
    }
    auto pause = backoff(policy_, failures_, pace_.jitter());
    if (failure.retry_after) {
        if (*failure.retry_after > policy_.longest_retry_after) {
            return base::Unexpected(std::move(failure.error)
                                        .with_hint(fmt::format("the server asks to come back after "
                                                               "{} s",
                                                               failure.retry_after->count())));
        }
        pause = std::max<milliseconds>(pause, *failure.retry_after);
    }
    base::log(base::LogLevel::info, fmt::format("{}; next attempt in {:.1f} s", failure.error.one_line(),
                                                static_cast<double>(pause.count()) / 1000.0));
    if (!pace_.sleep(pause, stop_)) {
        return base::fail(base::Code::interrupted, "the download was cancelled");
    }
    return {};
}

} // namespace slipway::prefetch::transfer
