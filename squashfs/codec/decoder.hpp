// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "squashfs/compressors.hpp"

#include <cstddef>
#include <memory>
#include <optional>
#include <span>

namespace slipway::squashfs::codec {

/// One decompressor and its working memory. Not thread-safe: every serving thread has its own, so
/// that no block pays for setting one up. Input comes from hostile images: only the bounds-checked
/// entry points of the libraries are used.
class Decoder {
  public:
    virtual ~Decoder() = default;

    /// Decompresses one complete block into `out`; the number of bytes written, or nothing when the
    /// input is damaged or does not fit.
    virtual std::optional<std::size_t> decompress(std::span<const std::uint8_t> in,
                                                  std::span<std::uint8_t> out) noexcept = 0;
};

/// Null when memory is short. Every compressor has a decoder.
std::unique_ptr<Decoder> make_decoder(Compressor compressor);

} // namespace slipway::squashfs::codec
