// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace slipway::base {

/// The bytes of one compressed blob, in order, as they arrive.
struct ByteSource {
    virtual ~ByteSource() = default;

    /// Between 1 and buffer.size() bytes, 0 at the end of the blob. May block until bytes are there.
    /// Called from one thread at a time. Nothing is verified here: the converter checks size and
    /// digest of everything it reads.
    virtual base::Result<std::size_t> read(std::span<std::uint8_t> buffer) = 0;

    /// Makes a read() that is blocked in another thread come back soon with an error
    /// (Code::interrupted), and every later one fail. A source that never blocks for long keeps the
    /// empty default.
    virtual void cancel() noexcept {}
};

} // namespace slipway::base
