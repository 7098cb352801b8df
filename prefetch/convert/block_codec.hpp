// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace slipway::prefetch {

/// What the blocks of the SquashFS file system are compressed with.
enum class Compression : std::uint8_t {
    zstd, ///< fast both ways; Linux 4.14 and later, Apptainer; SingularityCE refuses it
    gzip, ///< zlib streams: every reader knows them
};

/// Compresses one block at a time. Not shared between threads. The same input gives the same output
/// for the same build of the library, whatever was compressed before.
class BlockCodec {
  public:
    virtual ~BlockCodec() = default;
    /// Size of the result in `out`, 0 when it does not fit (the block is then stored as it is).
    virtual std::size_t compress(std::span<const std::uint8_t> in, std::span<std::uint8_t> out) = 0;
};

/// Null when the library cannot get memory.
std::unique_ptr<BlockCodec> make_zstd_block_codec(int level);
std::unique_ptr<BlockCodec> make_gzip_block_codec(int level);
std::unique_ptr<BlockCodec> make_block_codec(Compression compression, int level);

/// The level used when none was asked for: zstd 3, gzip 6.
int default_level(Compression compression) noexcept;
/// True for levels that make sense: zstd 1-19, gzip 1-9.
bool valid_level(Compression compression, int level) noexcept;

} // namespace slipway::prefetch
