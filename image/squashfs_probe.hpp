// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace slipway::image {

using base::Result;

inline constexpr std::size_t squashfs_superblock_size = 96;

enum class SquashfsCompressor : std::uint16_t { gzip = 1, lzma, lzo, xz, lz4, zstd };
std::string_view compressor_name(SquashfsCompressor compressor) noexcept;

/// The facts of a SquashFS 4.0 superblock.
struct SquashfsInfo {
    std::uint32_t inode_count = 0;
    std::uint32_t modification_time = 0;
    std::uint32_t block_size = 0; ///< bytes, 4 KiB to 1 MiB
    std::uint32_t fragment_count = 0;
    SquashfsCompressor compressor = SquashfsCompressor::gzip;
    std::uint16_t flags = 0;
    std::uint16_t id_count = 0;
    std::uint64_t bytes_used = 0; ///< length of the file system; the file may be padded

    [[nodiscard]] bool exportable() const noexcept { return (flags & 0x80U) != 0; }
    bool xattrs = false; ///< there is an extended attribute table
};

/// True when `head` begins with SquashFS' magic number.
bool looks_like_squashfs(std::span<const std::uint8_t> head) noexcept;

/// Checks the first 96 bytes of a file system that has at most `available` bytes: version, block
/// size, known compressor, every table position inside the file system and in order. Code::
/// image_format when it is no SquashFS 4.0, Code::image_corrupt when it is damaged or cut off.
Result<SquashfsInfo> parse_squashfs(std::span<const std::uint8_t> superblock,
                                    std::uint64_t available);

/// The same from a file; reads with pread(2).
Result<SquashfsInfo> probe_squashfs(int fd, std::uint64_t offset, std::uint64_t available);

} // namespace slipway::image
