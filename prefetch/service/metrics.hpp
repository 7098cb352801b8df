// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

namespace slipway::prefetch::service {

/// Counters of the service, in the Prometheus text format. Safe from every thread.
struct Metrics {
    std::atomic<std::uint64_t> requests{0};
    std::atomic<std::uint64_t> cached{0};     ///< answered from memory
    std::atomic<std::uint64_t> refused{0};    ///< over a limit
    std::atomic<std::uint64_t> staged{0};     ///< fetched and converted
    std::atomic<std::uint64_t> present{0};    ///< were in the store already
    std::atomic<std::uint64_t> failed{0};
    std::atomic<std::uint64_t> connections{0}; ///< open now
    std::atomic<std::uint64_t> bytes_out{0};   ///< sizes of images made

    [[nodiscard]] std::string text(std::size_t running, std::size_t queued) const;
};

} // namespace slipway::prefetch::service
