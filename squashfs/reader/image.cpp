// SPDX-License-Identifier: Apache-2.0
#include "squashfs/reader/image.hpp"

#include "base/format.hpp"
#include "squashfs/reader/reader.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace slipway::squashfs::reader {
namespace {

using base::Code;
using base::fail;
using base::fail_errno;
using base::Result;

constexpr std::size_t max_data_slots = 2048;

constexpr std::size_t records_per_block = metadata_block_bytes / 16;
/// Bytes of one table of block positions: enough for 67 million fragments or xattr sets.
constexpr std::uint64_t max_positions_bytes = 1U << 20U;

constexpr const char* fetch_again = "the file is damaged or incomplete; fetch or build it again";

} // namespace

std::optional<BlockListIndex::Checkpoint> BlockListIndex::nearest(std::uint64_t inode,
                                                                  std::uint64_t block) {
    const std::lock_guard lock(mutex_);
    auto after = checkpoints_.upper_bound({inode, block});
    if (after == checkpoints_.begin()) {
        return std::nullopt;
    }
    --after;
    return after->first.first == inode ? std::optional(after->second) : std::nullopt;
}

void BlockListIndex::remember(std::uint64_t inode, const Checkpoint& checkpoint) {
    const std::lock_guard lock(mutex_);
    if (checkpoints_.size() >= max_checkpoints) {
        checkpoints_.clear(); // they cost one walk each to find again
    }
    checkpoints_.emplace(std::pair(inode, checkpoint.block), checkpoint);
}

std::optional<ListingIndex::Place> ListingIndex::find(std::uint64_t directory,
                                                      std::uint64_t position) {
    const std::lock_guard lock(mutex_);
    for (const auto& place : places_) {
        if (place.position == position && place.directory == directory && position != 0) {
            return place;
        }
    }
    return std::nullopt;
}

void ListingIndex::remember(const Place& place) {
    const std::lock_guard lock(mutex_);
    places_[next_] = place;
    next_ = (next_ + 1) % std::size(places_);
}

Image::Image(int fd, std::uint64_t offset, const Superblock& super, const CacheLimits& limits)
    : fd_(fd), offset_(offset), super_(super),
      metadata_(metadata_block_bytes, limits.metadata_blocks),
      data_(super.block_size, std::min(limits.data_bytes / super.block_size, max_data_slots)) {}

Result<std::unique_ptr<Image>> Image::open(int fd, std::uint64_t offset, std::uint64_t size,
                                           const CacheLimits& limits) {
    TRY_ASSIGN(const Superblock super, read_superblock(fd, offset, size));
    std::unique_ptr<Image> image(new Image(fd, offset, super, limits));
    image->prefetch_metadata();
    TRY(image->load_tables());
    TRY(image->check_root());
    return image;
}

bool Image::read(std::uint64_t position, std::span<std::uint8_t> buffer) const noexcept {
    if (position > super_.bytes_used || buffer.size() > super_.bytes_used - position) {
        return false;
    }
    std::size_t done = 0;
    while (done < buffer.size()) {
        const ssize_t got = pread(fd_, buffer.data() + done, buffer.size() - done,
                                  static_cast<off_t>(offset_ + position + done));
        if (got <= 0) {
            if (got < 0 && errno == EINTR) {
                continue;
            }
            return false;
        }
        done += static_cast<std::size_t>(got);
    }
    return true;
}

void Image::prefetch_metadata() const noexcept {
    // Larger tables are read as they are needed: no start waits for all of them.
    constexpr std::uint64_t most = 4U << 20U;
    const std::uint64_t length = std::min(super_.bytes_used - super_.inode_table, most);
    posix_fadvise(fd_, static_cast<off_t>(offset_ + super_.inode_table), static_cast<off_t>(length),
                  POSIX_FADV_WILLNEED);
}

/// A lookup table is an array of the positions of metadata blocks, 512 records of 16 bytes in each.
Result<std::vector<std::uint64_t>> Image::load_positions(std::uint64_t at, std::uint64_t records,
                                                         const char* what) const {
    const std::uint64_t blocks = (records + records_per_block - 1) / records_per_block;
    if (blocks * sizeof(std::uint64_t) > max_positions_bytes) {
        return fail(Code::limit_exceeded,
                    fmt::format("SquashFS: {} {} are too many", records, what),
                    "rebuild the image with a larger block size");
    }
    std::vector<std::uint64_t> positions(blocks);
    auto* bytes = reinterpret_cast<std::uint8_t*>(positions.data());
    if (!read(at, {bytes, blocks * sizeof(std::uint64_t)})) {
        return fail(Code::image_corrupt,
                    fmt::format("SquashFS: the table of {} cannot be read", what), fetch_again);
    }
    return positions;
}

Result<void> Image::load_tables() {
    if (super_.fragment_count != 0) {
        TRY_ASSIGN(fragment_blocks_,
                   load_positions(super_.fragment_table, super_.fragment_count, "fragments"));
    }
    if (super_.xattr_table == absent_table) {
        return {};
    }
    std::uint8_t header[16];
    if (!read(super_.xattr_table, header)) {
        return fail(Code::image_corrupt, "SquashFS: the xattr table cannot be read", fetch_again);
    }
    xattr_values_ = little<std::uint64_t>(header);
    xattr_count_ = little<std::uint32_t>(header + 8);
    TRY_ASSIGN(xattr_blocks_, load_positions(super_.xattr_table + sizeof header, xattr_count_,
                                             "extended attributes"));
    return {};
}

Result<void> Image::check_root() {
    Reader reader(*this);
    Inode root;
    if (!reader.ready()) {
        return fail(Code::internal, "not enough memory for the decompressor");
    }
    if (const int error = reader.inode(super_.root_reference, root); error != 0) {
        return fail_errno(Code::image_corrupt, error, "SquashFS: the root directory cannot be read",
                          fetch_again);
    }
    if (!S_ISDIR(root.mode)) {
        return fail(Code::image_corrupt, "SquashFS: the root is not a directory", fetch_again);
    }
    return {};
}

} // namespace slipway::squashfs::reader
