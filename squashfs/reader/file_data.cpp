// SPDX-License-Identifier: Apache-2.0
#include "squashfs/reader/reader.hpp"

#include <algorithm>
#include <cerrno>

namespace slipway::squashfs::reader {
namespace {

constexpr std::uint32_t stored_raw = 1U << 24U;
constexpr std::uint32_t size_mask = stored_raw - 1;
constexpr std::size_t fragments_per_block = metadata_block_bytes / 16;

/// What a hole reads as. Not const, so that it takes no room in the program file; never written, so
/// that it takes none in memory either.
alignas(4096) constinit std::uint8_t zeros[1U << 20U] = {};

void add_piece(FileData& out, std::uint8_t* data, std::size_t count) {
    out.pieces.push_back({data, count});
    out.size += count;
}

} // namespace

/// A walk along the list of a file's blocks.
struct Reader::BlockWalk {
    BlockWalk(Reader& reader, MetadataPlace place) noexcept : list(reader, place) {}

    bool next(std::uint32_t& header) {
        std::uint8_t bytes[4];
        if (!list.read(bytes, sizeof bytes)) {
            return false;
        }
        header = little<std::uint32_t>(bytes);
        return true;
    }
    /// Steps over `count` entries.
    bool advance(std::uint64_t count) {
        while (count != 0) {
            const auto have = list.chunk();
            std::size_t entries = std::min<std::uint64_t>(have.size() / 4, count);
            if (entries == 0) { // damage, or an entry that spans two metadata blocks
                std::uint32_t header = 0;
                if (have.empty() || !next(header)) {
                    return false;
                }
                data += header & size_mask;
                entries = 1;
            } else {
                for (std::size_t i = 0; i < entries; ++i) {
                    data += little<std::uint32_t>(have.data() + 4 * i) & size_mask;
                }
                list.consume(4 * entries);
            }
            count -= entries;
        }
        return true;
    }

    MetadataStream list;
    std::uint64_t data = 0; ///< position of the next block's data
};

/// Goes to block number `block`, leaving checkpoints on the way.
int Reader::begin_walk(const Inode& inode, std::uint64_t block, BlockWalk& walk) {
    std::uint64_t at = 0;
    walk.data = inode.data_start;
    if (block >= BlockListIndex::spacing) {
        if (const auto known = image_.block_lists_.nearest(inode.reference, block)) {
            at = known->block;
            walk.data = known->data;
            walk.list = MetadataStream(*this, known->list);
        }
    }
    while (at < block) {
        const std::uint64_t to =
            std::min(block, (at / BlockListIndex::spacing + 1) * BlockListIndex::spacing);
        if (!walk.advance(to - at)) {
            return EIO;
        }
        at = to;
        if (at % BlockListIndex::spacing == 0) {
            image_.block_lists_.remember(inode.reference, {at, walk.data, walk.list.place()});
        }
    }
    return 0;
}

std::span<std::uint8_t> Reader::scratch(std::size_t count) {
    if (!scratch_) {
        scratch_ = std::make_unique_for_overwrite<std::uint8_t[]>(max_read);
    }
    const std::span<std::uint8_t> piece(scratch_.get() + scratch_used_, count);
    scratch_used_ += count;
    return piece;
}

std::optional<std::size_t> Reader::decompress_block(std::uint64_t position, std::uint32_t header,
                                                    std::span<std::uint8_t> buffer) noexcept {
    const std::size_t stored = header & size_mask;
    if (stored == 0 || stored > image_.super().block_size ||
        !image_.read(position, {stored_.get(), stored})) {
        return std::nullopt;
    }
    return decoder_->decompress({stored_.get(), stored}, buffer);
}

/// Bytes [from, from+count) of the block at `position`. `whole`: that is all of it.
int Reader::add_block(std::uint64_t position, std::uint32_t header, std::size_t from,
                      std::size_t count, bool whole, FileData& out) {
    if ((header & stored_raw) != 0) { // no need to read more than is asked for
        if (from + count > (header & size_mask)) {
            return EIO;
        }
        const auto buffer = scratch(count);
        if (!image_.read(position + from, buffer)) {
            return EIO;
        }
        add_piece(out, buffer.data(), count);
        return 0;
    }
    if (whole) {
        // The kernel keeps what it gets: such a block is not asked for again, so it need not push
        // others out of the cache, and a buffer that is used all the time stays near the processor.
        auto cached = image_.data_.find(position);
        if (!cached) {
            const auto buffer = scratch(count);
            if (decompress_block(position, header, buffer) != count) {
                return EIO;
            }
            add_piece(out, buffer.data(), count);
            return 0;
        }
    }
    auto block = image_.data_.get(
        position,
        [&](std::span<std::uint8_t> buffer) noexcept -> std::optional<BlockCache::Loaded> {
            const auto size = decompress_block(position, header, buffer);
            return size ? std::optional(BlockCache::Loaded{static_cast<std::uint32_t>(*size), 0})
                        : std::nullopt;
        });
    if (!block || block.bytes().size() < from + count) {
        return EIO;
    }
    // The kernel only reads what an iovec of writev(2) points to.
    add_piece(out, const_cast<std::uint8_t*>(block.bytes().data()) + from, count);
    out.pins.push_back(std::move(block));
    return 0;
}

int Reader::add_fragment(const Inode& inode, std::size_t from, std::size_t count, FileData& out) {
    const std::uint32_t index = inode.fragment;
    if (index >= image_.super().fragment_count) {
        return EIO;
    }
    MetadataStream entry(*this, {image_.fragment_blocks_[index / fragments_per_block],
                                 static_cast<std::uint32_t>(index % fragments_per_block * 16)});
    std::uint8_t record[16];
    if (!entry.read(record, sizeof record)) {
        return EIO;
    }
    if (inode.fragment_offset > image_.super().block_size) {
        return EIO;
    }
    return add_block(little<std::uint64_t>(record), little<std::uint32_t>(record + 8),
                     inode.fragment_offset + from, count, false, out);
}

int Reader::read(const Inode& inode, std::uint64_t offset, std::size_t size, FileData& out) {
    out.release();
    scratch_used_ = 0;
    if (!S_ISREG(inode.mode)) {
        return S_ISDIR(inode.mode) ? EISDIR : EINVAL;
    }
    if (offset >= inode.size) {
        return 0;
    }
    const std::uint64_t end =
        offset + std::min<std::uint64_t>({size, max_read, inode.size - offset});
    const unsigned log = image_.super().block_log;
    const std::uint64_t block_size = image_.super().block_size;
    const std::uint64_t full = inode.size >> log;
    const std::uint64_t rest = inode.size & (block_size - 1);
    const std::uint64_t listed = full + (rest != 0 && inode.fragment == no_fragment ? 1 : 0);

    std::uint64_t block = offset >> log;
    BlockWalk walk(*this, inode.tail);
    if (block < listed) {
        if (const int error = begin_walk(inode, block, walk); error != 0) {
            return error;
        }
    }
    while (offset < end) {
        const std::uint64_t begin = block << log;
        const std::size_t length = std::min(block_size, inode.size - begin);
        const std::size_t from = offset - begin;
        const std::size_t count = std::min(end - offset, length - from);
        int error = 0;
        if (block >= listed) {
            error = add_fragment(inode, from, count, out);
        } else {
            std::uint32_t header = 0;
            if (!walk.next(header)) {
                return EIO;
            }
            if (header == 0) {
                add_piece(out, zeros, count);
            } else {
                error = add_block(walk.data, header, from, count, count == length, out);
            }
            walk.data += header & size_mask;
        }
        if (error != 0) {
            return error;
        }
        offset += count;
        ++block;
    }
    return 0;
}

} // namespace slipway::squashfs::reader
