// SPDX-License-Identifier: Apache-2.0
#include "launcher/squashfs_server/superblock.hpp"

#include "base/cursor.hpp"
#include "base/format.hpp"

#include <bit>

namespace slipway::launcher::squashfs {
namespace {

using base::Code;
using base::fail;
using base::Result;

constexpr std::uint32_t magic = 0x73717368;
constexpr const char* fetch_again = "the file is damaged or incomplete; fetch or build it again";

Result<void> check_tables(const Superblock& super) {
    const auto inside = [&](std::uint64_t position) {
        return position >= superblock_bytes && position < super.bytes_used;
    };
    if (!inside(super.inode_table) || !inside(super.directory_table) ||
        super.inode_table > super.directory_table) {
        return fail(Code::image_corrupt, "SquashFS: inode or directory table outside of the image",
                    fetch_again);
    }
    if (super.fragment_count != 0 && !inside(super.fragment_table)) {
        return fail(Code::image_corrupt, "SquashFS: fragment table outside of the image", fetch_again);
    }
    if (super.xattr_table != absent_table && !inside(super.xattr_table)) {
        return fail(Code::image_corrupt, "SquashFS: xattr table outside of the image", fetch_again);
    }
    return {};
}

} // namespace

Result<Superblock> parse_superblock(std::span<const std::uint8_t, superblock_bytes> bytes,
                                    std::uint64_t available) {
    base::Cursor in{std::span<const std::uint8_t>(bytes)};
    if (in.u32() != magic) {
        return fail(Code::image_format, "not a SquashFS file system",
                    "the image must hold a SquashFS 4.0 file system");
    }
    Superblock super;
    super.inode_count = in.u32();
    in.skip(4); // modification time
    super.block_size = in.u32();
    super.fragment_count = in.u32();
    const unsigned compressor = in.u16();
    super.block_log = in.u16();
    in.skip(2 + 2); // flags, id count: every file is reported as the caller's
    const unsigned major = in.u16();
    const unsigned minor = in.u16();
    super.root_reference = in.u64();
    super.bytes_used = in.u64();
    in.skip(8); // id table
    super.xattr_table = in.u64();
    super.inode_table = in.u64();
    super.directory_table = in.u64();
    super.fragment_table = in.u64();

    if (major != 4 || minor != 0) {
        return fail(Code::image_unsupported,
                    fmt::format("SquashFS version {}.{} is not supported", major, minor),
                    "rebuild the image with mksquashfs 4.0 or newer");
    }
    if (compressor < 1 || compressor > 6) {
        return fail(Code::image_unsupported, fmt::format("unknown SquashFS compressor {}", compressor),
                    "rebuild the image with gzip or zstd");
    }
    super.compressor = static_cast<Compressor>(compressor);
    if (!std::has_single_bit(super.block_size) || super.block_size < 4096 ||
        super.block_size > (1U << 20U) || super.block_log > 20 ||
        super.block_size != 1U << super.block_log) {
        return fail(Code::image_corrupt, fmt::format("SquashFS: bad block size {}", super.block_size),
                    fetch_again);
    }
    if (super.bytes_used < superblock_bytes || super.bytes_used > available) {
        return fail(Code::image_corrupt,
                    fmt::format("SquashFS: {} bytes expected, {} there", super.bytes_used, available),
                    fetch_again);
    }
    TRY(check_tables(super));
    return super;
}

} // namespace slipway::launcher::squashfs
