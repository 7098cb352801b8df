// SPDX-License-Identifier: Apache-2.0
#include "image/squashfs_probe.hpp"

#include "base/cursor.hpp"
#include "base/fd.hpp"
#include "base/format.hpp"

#include <algorithm>
#include <array>

namespace slipway::image {
namespace {

using base::Code;
using base::fail;

constexpr std::uint32_t squashfs_magic = 0x73717368;
constexpr std::uint64_t absent = UINT64_MAX;
constexpr std::uint16_t flag_no_xattrs = 0x200;

base::Unexpected corrupt(std::string why) {
    return fail(Code::image_corrupt, "the SquashFS file system is damaged: " + why,
                "the file is incomplete or damaged; fetch or make it again");
}

struct Tables {
    std::uint64_t id = 0;
    std::uint64_t xattr = 0;
    std::uint64_t inode = 0;
    std::uint64_t directory = 0;
    std::uint64_t fragment = 0;
    std::uint64_t exports = 0;
};

/// Positions that the format wants inside the file system, tables in their order of writing.
Result<void> check_tables(const SquashfsInfo& info, const Tables& tables,
                          std::uint64_t root_inode) {
    const auto inside = [&](std::uint64_t at) {
        return at >= squashfs_superblock_size && at < info.bytes_used;
    };
    if (!inside(tables.inode) || !inside(tables.directory) || !inside(tables.id)) {
        return corrupt("a table lies outside of it");
    }
    for (const auto optional : {tables.xattr, tables.fragment, tables.exports}) {
        if (optional != absent && !inside(optional)) {
            return corrupt("a table lies outside of it");
        }
    }
    if (tables.inode >= tables.directory || tables.directory >= tables.id) {
        return corrupt("its tables are out of order");
    }
    if (info.fragment_count > 0 && tables.fragment == absent) {
        return corrupt("its fragment table is missing");
    }
    const auto root_block = root_inode >> 16U;
    const auto root_offset = root_inode & 0xFFFFU;
    if (root_block >= tables.directory - tables.inode || root_offset >= 8192) {
        return corrupt("the root directory lies outside of the inode table");
    }
    return {};
}

} // namespace

std::string_view compressor_name(SquashfsCompressor compressor) noexcept {
    constexpr std::array<std::string_view, 7> names = {"unknown", "gzip", "lzma", "lzo",
                                                       "xz",      "lz4",  "zstd"};
    const auto index = static_cast<std::size_t>(compressor);
    return index < names.size() ? names[index] : names[0];
}

bool looks_like_squashfs(std::span<const std::uint8_t> head) noexcept {
    base::Cursor cursor(head);
    return cursor.u32() == squashfs_magic && cursor.ok();
}

Result<SquashfsInfo> parse_squashfs(std::span<const std::uint8_t> superblock,
                                    std::uint64_t available) {
    if (!looks_like_squashfs(superblock)) {
        return fail(Code::image_format, "this is no SquashFS file system (no magic number)");
    }
    if (superblock.size() < squashfs_superblock_size || available < squashfs_superblock_size) {
        return corrupt("it ends within its first 96 bytes");
    }
    base::Cursor cursor(superblock);
    cursor.skip(4);
    SquashfsInfo info;
    info.inode_count = cursor.u32();
    info.modification_time = cursor.u32();
    info.block_size = cursor.u32();
    info.fragment_count = cursor.u32();
    const auto compressor = cursor.u16();
    const auto block_log = cursor.u16();
    info.flags = cursor.u16();
    info.id_count = cursor.u16();
    const auto major = cursor.u16();
    const auto minor = cursor.u16();
    const auto root_inode = cursor.u64();
    info.bytes_used = cursor.u64();
    Tables tables;
    tables.id = cursor.u64();
    tables.xattr = cursor.u64();
    tables.inode = cursor.u64();
    tables.directory = cursor.u64();
    tables.fragment = cursor.u64();
    tables.exports = cursor.u64();

    if (major != 4 || minor != 0) {
        return fail(Code::image_format,
                    fmt::format("SquashFS version {}.{} is not supported, only 4.0", major, minor));
    }
    if (compressor < 1 || compressor > 6) {
        return fail(Code::image_format,
                    fmt::format("SquashFS compressor {} is not known", compressor));
    }
    info.compressor = static_cast<SquashfsCompressor>(compressor);
    if (block_log < 12 || block_log > 20 || info.block_size != (1U << block_log)) {
        return corrupt(fmt::format("its block size {} is impossible", info.block_size));
    }
    if (info.bytes_used < squashfs_superblock_size || info.bytes_used > available) {
        return corrupt(
            fmt::format("it needs {} bytes, but only {} are there", info.bytes_used, available));
    }
    // Every inode takes at least 16 bytes, compressed at best 1:1024 or so; a count beyond the size
    // in bits is a lie that would make readers allocate.
    if (info.inode_count == 0 || info.id_count == 0 || info.inode_count / 8192 > info.bytes_used ||
        info.fragment_count > info.bytes_used) {
        return corrupt("its counts are impossible");
    }
    TRY(check_tables(info, tables, root_inode));
    info.xattrs = tables.xattr != absent && (info.flags & flag_no_xattrs) == 0;
    return info;
}

Result<SquashfsInfo> probe_squashfs(int fd, std::uint64_t offset, std::uint64_t available) {
    std::array<std::uint8_t, squashfs_superblock_size> raw{};
    const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(raw.size(), available));
    const auto part = std::span(raw).first(size);
    TRY(base::read_exact_at(fd, part, offset));
    return parse_squashfs(part, available);
}

} // namespace slipway::image
