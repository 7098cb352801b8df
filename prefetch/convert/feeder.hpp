// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/fd.hpp"
#include "prefetch/convert/protocol.hpp"

#include <atomic>
#include <memory>
#include <mutex>
#include <thread>

namespace slipway::prefetch::convert {

/// The parent's side of one layer that the child has asked for: a thread that opens it and hands
/// its bytes over. Where they lie in a regular file the child gets that file and reads it itself;
/// else they go through a pipe. Every error of the source is sent to the child, which reports it as
/// if it had read the source itself.
///
/// Needs nothing but to be alive; the destructor cancels and waits for the thread.
class Feeder {
  public:
    /// `control` is the parent's end of the socket and outlives this object.
    Feeder(const image::LayerInput& layer, std::uint32_t serial, int control);
    Feeder(const Feeder&) = delete;
    Feeder& operator=(const Feeder&) = delete;
    ~Feeder();

    /// The child needs no more of it: the thread ends soon.
    void cancel() noexcept;
    [[nodiscard]] std::uint32_t serial() const noexcept { return serial_; }
    [[nodiscard]] bool finished() const noexcept { return finished_; }

  private:
    void run() noexcept;
    base::Result<void> feed();
    base::Result<void> pump(base::ByteSource& source);
    base::Result<void> send(const FromParent& message, int descriptor = -1);

    const image::LayerInput& layer_;
    const std::uint32_t serial_;
    const int control_;
    std::mutex mutex_;
    std::unique_ptr<base::ByteSource> source_; ///< guarded: cancel() comes from another thread
    bool cancelled_ = false;                   ///< guarded
    std::atomic<bool> finished_{false};
    std::thread thread_;
};

} // namespace slipway::prefetch::convert
