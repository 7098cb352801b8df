// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "squashfs/compressors.hpp"

#include <cstddef>
#include <memory>
#include <span>

namespace slipway::squashfs::codec {

/// Compresses one block at a time. Not shared between threads. The same input gives the same output
/// for the same build of the library, whatever was compressed before.
class Encoder {
  public:
    virtual ~Encoder() = default;
    /// Size of the result in `out`, 0 when it does not fit (the block is then stored as it is).
    virtual std::size_t compress(std::span<const std::uint8_t> in, std::span<std::uint8_t> out) = 0;
};

/// Null when memory is short, and for a compressor or level that compressors.hpp does not offer.
std::unique_ptr<Encoder> make_encoder(Compressor compressor, int level);

} // namespace slipway::squashfs::codec
