// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.hpp"
#include "squashfs/compressors.hpp"

#include <cstdint>
#include <cstring>
#include <span>

namespace slipway::squashfs {

// The on-disk format, version 4.0 (little-endian). Positions are relative to the start of the file
// system; "reference" is (start of a metadata block relative to its table << 16 | offset in it).

inline constexpr std::size_t superblock_bytes = 96;
inline constexpr std::size_t metadata_block_bytes = 8192;
inline constexpr std::uint64_t absent_table = ~std::uint64_t{0};
inline constexpr std::uint32_t no_fragment = 0xFFFFFFFF;
inline constexpr std::uint32_t no_xattrs = 0xFFFFFFFF;

struct Superblock {
    std::uint32_t inode_count = 0;
    std::uint32_t block_size = 0; ///< bytes, a power of two, 4 KiB to 1 MiB
    unsigned block_log = 0;
    std::uint32_t fragment_count = 0;
    Compressor compressor = default_compressor;
    std::uint16_t id_count = 0;
    std::uint64_t root_reference = 0;
    std::uint64_t bytes_used = 0; ///< length of the file system; the file may be padded
    std::uint64_t id_table = 0;
    std::uint64_t xattr_table = absent_table;
    std::uint64_t inode_table = 0;
    std::uint64_t directory_table = 0;
    std::uint64_t fragment_table = absent_table;
    std::uint64_t export_table = absent_table;
};

/// True when `head` begins with SquashFS' magic number.
bool looks_like_squashfs(std::span<const std::uint8_t> head) noexcept;

/// Checks the first 96 bytes of a file system that has at most `available` bytes, every field that
/// a reader relies on: version, block size, known compressor, counts, every table position inside
/// the file system and in order. Code::image_format: no SquashFS; Code::image_unsupported: another
/// version or an unknown compressor; Code::image_corrupt: contradictions, or the file is shorter
/// than it says.
base::Result<Superblock> parse_superblock(std::span<const std::uint8_t> bytes,
                                          std::uint64_t available);

/// The same from a file; reads with pread(2).
base::Result<Superblock> read_superblock(int fd, std::uint64_t offset, std::uint64_t available);

/// A little-endian number at `at`; the caller has checked the bounds.
template <typename T>
T little(const std::uint8_t* at) noexcept {
    T value;
    std::memcpy(&value, at, sizeof value);
    static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);
    return value;
}

} // namespace slipway::squashfs
