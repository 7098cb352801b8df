// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>

namespace slipway::prefetch::convert {

/// Keeps the large windows of zstd layers (up to 128 MiB each) down to two at a time: one for the
/// layer that is being read, which never waits, and one for those that run ahead. Layers are known
/// by the order in which they are read. Safe from any thread.
class WindowGate {
  public:
    /// Windows below this size are not counted: what zstd makes without --long or --ultra, and its
    /// buffers.
    static constexpr std::size_t large = 10U << 20U;
    /// Most that all counted windows take together.
    static constexpr std::uint64_t most_bytes = 2 * (130ULL << 20U);

    /// Waits until this layer may have a large window; false after cancel().
    bool enter(std::size_t order);
    void leave(std::size_t order) noexcept;
    /// From now on this layer is read.
    void turn_of(std::size_t order) noexcept;
    /// Wakes everybody up, for good.
    void cancel() noexcept;

  private:
    static constexpr std::size_t nobody = SIZE_MAX;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::size_t turn_ = 0;       ///< guarded, as everything below
    std::size_t ahead_ = nobody; ///< the layer that came in before its turn
    bool cancelled_ = false;
};

/// One layer's way through the gate; without a gate everything may pass.
struct WindowPass {
    WindowGate* gate = nullptr;
    std::size_t order = 0;
};

} // namespace slipway::prefetch::convert
