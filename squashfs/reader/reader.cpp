// SPDX-License-Identifier: Apache-2.0
#include "squashfs/reader/reader.hpp"

#include <algorithm>
#include <cerrno>
#include <climits>

namespace slipway::squashfs::reader {
namespace {

constexpr std::uint16_t stored_raw = 0x8000;
constexpr std::size_t metadata_header = 2;
constexpr std::uint64_t max_file_size = std::uint64_t{1} << 62U;
constexpr std::size_t max_link_bytes = 4095; // more does not fit into the kernel's page

constexpr std::size_t base_inode_bytes = 16;
constexpr unsigned basic_types = 7;

enum Type : unsigned { directory = 1, file, symlink, block_device, char_device, fifo, socket };

/// Bytes of an inode record after the base part, by type; extended forms follow the basic ones.
constexpr std::uint8_t record_bytes[] = {0, 16, 16, 8, 8, 8, 4, 4, 24, 40, 8, 12, 12, 8, 8};

constexpr std::uint32_t type_bits[] = {0,       S_IFDIR, S_IFREG, S_IFLNK,
                                       S_IFBLK, S_IFCHR, S_IFIFO, S_IFSOCK};

void take_directory(const std::uint8_t* at, bool extended, std::uint64_t table, Inode& out) {
    if (extended) {
        out.nlink = little<std::uint32_t>(at);
        out.size = little<std::uint32_t>(at + 4);
        out.listing.block = little<std::uint32_t>(at + 8);
        out.parent = little<std::uint32_t>(at + 12);
        out.index_count = little<std::uint16_t>(at + 16);
        out.listing.offset = little<std::uint16_t>(at + 18);
        out.xattrs = little<std::uint32_t>(at + 20);
    } else {
        out.listing.block = little<std::uint32_t>(at);
        out.nlink = little<std::uint32_t>(at + 4);
        out.size = little<std::uint16_t>(at + 8);
        out.listing.offset = little<std::uint16_t>(at + 10);
        out.parent = little<std::uint32_t>(at + 12);
    }
    out.listing.block += table;
}

void take_file(const std::uint8_t* at, bool extended, Inode& out) {
    if (extended) {
        out.data_start = little<std::uint64_t>(at);
        out.size = little<std::uint64_t>(at + 8);
        out.sparse = std::min(little<std::uint64_t>(at + 16), out.size);
        out.nlink = little<std::uint32_t>(at + 24);
        out.fragment = little<std::uint32_t>(at + 28);
        out.fragment_offset = little<std::uint32_t>(at + 32);
        out.xattrs = little<std::uint32_t>(at + 36);
    } else {
        out.data_start = little<std::uint32_t>(at);
        out.fragment = little<std::uint32_t>(at + 4);
        out.fragment_offset = little<std::uint32_t>(at + 8);
        out.size = little<std::uint32_t>(at + 12);
    }
}

void take_device_or_pipe(const std::uint8_t* at, unsigned type, bool extended, Inode& out) {
    out.nlink = little<std::uint32_t>(at);
    const bool device = type == block_device || type == char_device;
    if (device) {
        out.rdev = little<std::uint32_t>(at + 4);
    }
    if (extended) {
        out.xattrs = little<std::uint32_t>(at + (device ? 8 : 4));
    }
}

/// The xattr index of an extended symlink comes after its target.
bool take_link_xattrs(MetadataStream stream, Inode& inode) {
    std::uint8_t bytes[4];
    if (!stream.skip(static_cast<std::size_t>(inode.size)) || !stream.read(bytes, sizeof bytes)) {
        return false;
    }
    inode.xattrs = little<std::uint32_t>(bytes);
    return true;
}

} // namespace

MetadataStream::MetadataStream(Reader& reader, MetadataPlace place) noexcept
    : reader_(&reader), place_(place) {}

std::span<const std::uint8_t> MetadataStream::chunk() {
    for (;;) {
        if (!block_ || block_.position() != place_.block) {
            block_ = reader_->metadata(place_.block);
            if (!block_) {
                return {};
            }
        }
        const auto bytes = block_.bytes();
        if (place_.offset < bytes.size()) {
            return bytes.subspan(place_.offset);
        }
        if (place_.offset != bytes.size()) {
            return {};
        }
        place_ = {block_.next(), 0};
    }
}

bool MetadataStream::read(void* out, std::size_t count) {
    auto* to = static_cast<std::uint8_t*>(out);
    while (count != 0) {
        const auto have = chunk();
        if (have.empty()) {
            return false;
        }
        const std::size_t take = std::min(count, have.size());
        std::memcpy(to, have.data(), take);
        consume(take);
        to += take;
        count -= take;
    }
    return true;
}

bool MetadataStream::skip(std::size_t count) {
    while (count != 0) {
        const auto have = chunk();
        if (have.empty()) {
            return false;
        }
        const std::size_t take = std::min(count, have.size());
        consume(take);
        count -= take;
    }
    return true;
}

Reader::Reader(Image& image)
    : image_(image), decoder_(codec::make_decoder(image.super().compressor)),
      stored_(std::make_unique_for_overwrite<std::uint8_t[]>(std::max<std::size_t>(
          image.super().block_size, metadata_header + metadata_block_bytes))) {}

BlockCache::Ref Reader::metadata(std::uint64_t position) {
    return image_.metadata_.get(position, [&](std::span<std::uint8_t> buffer) noexcept {
        return load_metadata(position, buffer);
    });
}

std::optional<BlockCache::Loaded> Reader::load_metadata(std::uint64_t position,
                                                        std::span<std::uint8_t> buffer) noexcept {
    const std::uint64_t end = image_.super().bytes_used;
    if (position < superblock_bytes || position >= end || end - position < metadata_header) {
        return std::nullopt;
    }
    // Header and block in one call: the block is nearly always shorter, never longer.
    const std::size_t most =
        std::min<std::uint64_t>(metadata_header + metadata_block_bytes, end - position);
    if (!image_.read(position, {stored_.get(), most})) {
        return std::nullopt;
    }
    const auto header = little<std::uint16_t>(stored_.get());
    const std::size_t stored = header & ~stored_raw;
    if (stored == 0 || metadata_header + stored > most) {
        return std::nullopt;
    }
    const std::span<const std::uint8_t> bytes(stored_.get() + metadata_header, stored);
    std::optional<std::size_t> size = stored;
    if ((header & stored_raw) != 0) {
        std::memcpy(buffer.data(), bytes.data(), stored);
    } else {
        size = decoder_->decompress(bytes, buffer);
    }
    if (!size || *size == 0) {
        return std::nullopt;
    }
    return BlockCache::Loaded{static_cast<std::uint32_t>(*size),
                              position + metadata_header + stored};
}

std::optional<MetadataPlace> Reader::place_of(std::uint64_t table,
                                              std::uint64_t reference) const noexcept {
    const std::uint64_t block = reference >> 16U;
    const auto offset = static_cast<std::uint32_t>(reference & 0xFFFFU);
    if (block > image_.super().bytes_used || offset >= metadata_block_bytes) {
        return std::nullopt;
    }
    return MetadataPlace{table + block, offset};
}

int Reader::inode(std::uint64_t reference, Inode& out) {
    const auto place = place_of(image_.super().inode_table, reference);
    if (!place) {
        return EIO;
    }
    MetadataStream stream(*this, *place);
    std::uint8_t bytes[base_inode_bytes + 40];
    if (!stream.read(bytes, base_inode_bytes)) {
        return EIO;
    }
    const unsigned raw_type = little<std::uint16_t>(bytes);
    if (raw_type == 0 || raw_type > 2 * basic_types) {
        return EIO;
    }
    const bool extended = raw_type > basic_types;
    const unsigned type = extended ? raw_type - basic_types : raw_type;
    const std::uint8_t* at = bytes + base_inode_bytes;
    if (!stream.read(bytes + base_inode_bytes, record_bytes[raw_type])) {
        return EIO;
    }
    out = Inode{};
    out.reference = reference;
    out.mode = type_bits[type] | (little<std::uint16_t>(bytes + 2) & 07777U);
    out.mtime = little<std::uint32_t>(bytes + 8);
    out.number = little<std::uint32_t>(bytes + 12);
    out.tail = stream.place();
    switch (type) {
    case directory:
        take_directory(at, extended, image_.super().directory_table, out);
        break;
    case file:
        take_file(at, extended, out);
        break;
    case symlink:
        out.nlink = little<std::uint32_t>(at);
        out.size = little<std::uint32_t>(at + 4);
        if (out.size > max_link_bytes || (extended && !take_link_xattrs(std::move(stream), out))) {
            return EIO;
        }
        break;
    default:
        take_device_or_pipe(at, type, extended, out);
    }
    return out.size > max_file_size ? EIO : 0;
}

int Reader::read_link(const Inode& inode, std::string& out) {
    if (!S_ISLNK(inode.mode)) {
        return EINVAL;
    }
    out.resize(static_cast<std::size_t>(inode.size));
    MetadataStream stream(*this, inode.tail);
    return stream.read(out.data(), out.size()) ? 0 : EIO;
}

} // namespace slipway::squashfs::reader
