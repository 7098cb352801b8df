// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/squashfs_server/superblock.hpp"

#include <memory>
#include <optional>
#include <span>

namespace slipway::launcher::squashfs {

/// One decompressor and its working memory. Not thread-safe: every serving thread has its own, so
/// that no block pays for setting one up. Input comes from hostile images: only the bounds-checked
/// entry points of the libraries are used.
class Codec {
  public:
    virtual ~Codec() = default;

    /// Decompresses one complete block into `out`; the number of bytes written, or nothing when the
    /// input is damaged or does not fit.
    virtual std::optional<std::size_t> decompress(std::span<const std::uint8_t> in,
                                                  std::span<std::uint8_t> out) noexcept = 0;
};

/// Null when memory is short. Every compressor that parse_superblock() accepts has a codec.
std::unique_ptr<Codec> make_codec(Compressor compressor);

} // namespace slipway::launcher::squashfs
