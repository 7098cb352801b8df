// SPDX-License-Identifier: Apache-2.0
#include "squashfs/superblock.hpp"

#include "base/cursor.hpp"
#include "base/fd.hpp"
#include "base/format.hpp"

#include <algorithm>
#include <array>

namespace slipway::squashfs {
namespace {

using base::Code;
using base::fail;
using base::Result;

constexpr std::uint32_t magic = 0x73717368;

base::Unexpected corrupt(const std::string& why) {
    return fail(Code::image_corrupt, "the SquashFS file system is damaged: " + why,
                "the file is incomplete or damaged; fetch or make it again");
}

/// Positions that the format wants inside the file system, tables in their order of writing.
Result<void> check_tables(const Superblock& super) {
    const auto inside = [&](std::uint64_t at) {
        return at >= superblock_bytes && at < super.bytes_used;
    };
    if (!inside(super.inode_table) || !inside(super.directory_table) || !inside(super.id_table)) {
        return corrupt("a table lies outside of it");
    }
    for (const auto optional : {super.xattr_table, super.fragment_table, super.export_table}) {
        if (optional != absent_table && !inside(optional)) {
            return corrupt("a table lies outside of it");
        }
    }
    if (super.inode_table >= super.directory_table || super.directory_table >= super.id_table) {
        return corrupt("its tables are out of order");
    }
    if (super.fragment_count > 0 && super.fragment_table == absent_table) {
        return corrupt("its fragment table is missing");
    }
    const auto root_block = super.root_reference >> 16U;
    const auto root_offset = super.root_reference & 0xFFFFU;
    if (root_block >= super.directory_table - super.inode_table ||
        root_offset >= metadata_block_bytes) {
        return corrupt("the root directory lies outside of the inode table");
    }
    return {};
}

/// Sizes and counts.
Result<void> check_numbers(const Superblock& super, std::uint64_t available) {
    if (super.block_log < 12 || super.block_log > 20 ||
        super.block_size != (1U << super.block_log)) {
        return corrupt(fmt::format("its block size {} is impossible", super.block_size));
    }
    if (super.bytes_used < superblock_bytes || super.bytes_used > available) {
        return corrupt(
            fmt::format("it needs {} bytes, but only {} are there", super.bytes_used, available));
    }
    // Every inode takes at least 16 bytes, compressed at best 1:1024 or so; a count beyond the size
    // in bits is a lie that would make readers allocate.
    if (super.inode_count == 0 || super.id_count == 0 ||
        super.inode_count / 8192 > super.bytes_used || super.fragment_count > super.bytes_used) {
        return corrupt("its counts are impossible");
    }
    return {};
}

} // namespace

bool looks_like_squashfs(std::span<const std::uint8_t> head) noexcept {
    base::Cursor cursor(head);
    return cursor.u32() == magic && cursor.ok();
}

Result<Superblock> parse_superblock(std::span<const std::uint8_t> bytes, std::uint64_t available) {
    if (!looks_like_squashfs(bytes)) {
        return fail(Code::image_format, "this is no SquashFS file system (no magic number)");
    }
    if (bytes.size() < superblock_bytes || available < superblock_bytes) {
        return corrupt("it ends within its first 96 bytes");
    }
    base::Cursor in(bytes);
    in.skip(4); // magic
    Superblock super;
    super.inode_count = in.u32();
    in.skip(4); // modification time
    super.block_size = in.u32();
    super.fragment_count = in.u32();
    const auto compressor = in.u16();
    super.block_log = in.u16();
    in.skip(2); // flags: nothing that a reader needs
    super.id_count = in.u16();
    const unsigned major = in.u16();
    const unsigned minor = in.u16();
    super.root_reference = in.u64();
    super.bytes_used = in.u64();
    super.id_table = in.u64();
    super.xattr_table = in.u64();
    super.inode_table = in.u64();
    super.directory_table = in.u64();
    super.fragment_table = in.u64();
    super.export_table = in.u64();

    if (major != 4 || minor != 0) {
        return fail(Code::image_unsupported,
                    fmt::format("SquashFS version {}.{} is not supported, only 4.0", major, minor),
                    "rebuild the image with mksquashfs 4.0 or newer");
    }
    const auto* row = find_compressor(compressor);
    if (row == nullptr) {
        return fail(Code::image_unsupported,
                    fmt::format("SquashFS compressor {} is not known", compressor),
                    "rebuild the image with gzip or zstd");
    }
    super.compressor = row->id;
    TRY(check_numbers(super, available));
    TRY(check_tables(super));
    return super;
}

Result<Superblock> read_superblock(int fd, std::uint64_t offset, std::uint64_t available) {
    std::array<std::uint8_t, superblock_bytes> raw{};
    const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(raw.size(), available));
    const auto part = std::span(raw).first(size);
    TRY(base::read_exact_at(fd, part, offset));
    return parse_superblock(part, available);
}

} // namespace slipway::squashfs
