// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <map>
#include <mutex>
#include <optional>
#include <string>

namespace slipway::prefetch::sources {

/// Mirrors that could not be connected to, so that the next request does not wait for them again. Only hosts of
/// the site file get here. Thread-safe.
class SilentHosts {
  public:
    /// A host is passed over for that long; without it, for as long as this object lives.
    explicit SilentHosts(std::optional<std::chrono::seconds> time = {}) : time_(time) {}

    void add(const std::string& host);
    [[nodiscard]] bool has(const std::string& host) const;

  private:
    using Clock = std::chrono::steady_clock;
    std::optional<std::chrono::seconds> time_;
    mutable std::mutex mutex_;
    std::map<std::string, Clock::time_point> since_;
};

} // namespace slipway::prefetch::sources
