// SPDX-License-Identifier: Apache-2.0
#include "squashfs/reader/reader.hpp"

#include <cerrno>

namespace slipway::squashfs::reader {
namespace {

constexpr std::size_t sets_per_block = metadata_block_bytes / 16;
constexpr unsigned value_elsewhere = 0x100;
constexpr unsigned trusted = 1;
constexpr std::string_view prefixes[] = {"user.", "trusted.", "security."};
// The kernel's own limits: more could not be handed on.
constexpr std::size_t max_name = 255;
constexpr std::size_t max_value = 65536;
constexpr std::size_t max_list = 65536;
constexpr std::uint32_t max_attributes = 65536;

} // namespace

struct Reader::XattrEntry {
    std::string name;
    bool hidden = false; ///< trusted.*, or a prefix that we do not know
    bool elsewhere = false;
};

/// Puts the stream before the first of the inode's attributes; `count` says how many there are,
/// which may be none.
int Reader::open_xattrs(const Inode& inode, MetadataStream& stream, std::uint32_t& count) {
    count = 0;
    if (inode.xattrs == no_xattrs || !image_.has_xattrs()) {
        return 0;
    }
    const auto index = inode.xattrs;
    if (index >= image_.xattr_count_) {
        return EIO;
    }
    MetadataStream ids(*this, {image_.xattr_blocks_[index / sets_per_block],
                               static_cast<std::uint32_t>(index % sets_per_block * 16)});
    std::uint8_t record[16];
    if (!ids.read(record, sizeof record)) {
        return EIO;
    }
    const auto place = place_of(image_.xattr_values_, little<std::uint64_t>(record));
    count = little<std::uint32_t>(record + 8);
    if (!place || count > max_attributes) {
        return EIO;
    }
    stream = MetadataStream(*this, *place);
    return 0;
}

int Reader::next_xattr(MetadataStream& stream, std::string_view only, XattrEntry& out) {
    std::uint8_t header[4];
    if (!stream.read(header, sizeof header)) {
        return EIO;
    }
    const unsigned type = little<std::uint16_t>(header);
    const std::size_t size = little<std::uint16_t>(header + 2);
    const unsigned prefix = type & 0xFFU;
    out.hidden = prefix == trusted || prefix >= std::size(prefixes);
    out.elsewhere = (type & value_elsewhere) != 0;
    if (size == 0 || size > max_name) {
        return EIO;
    }
    out.name = out.hidden ? std::string_view() : prefixes[prefix];
    const std::size_t begin = out.name.size();
    if (!only.empty() && !out.hidden && only.size() != begin + size) {
        out.name.clear();
        return stream.skip(size) ? 0 : EIO;
    }
    out.name.resize(begin + size);
    if (!stream.read(out.name.data() + begin, size)) {
        return EIO;
    }
    return out.name.find('\0') == std::string::npos ? 0 : EIO;
}

/// Steps over the value, or reads it into *out.
int Reader::xattr_value(MetadataStream& stream, bool elsewhere, std::string* out) {
    std::uint8_t bytes[8];
    if (!stream.read(bytes, 4)) {
        return EIO;
    }
    std::size_t size = little<std::uint32_t>(bytes);
    if (out == nullptr) {
        return size <= max_value && stream.skip(size) ? 0 : EIO;
    }
    MetadataStream value(*this, stream.place());
    if (elsewhere) {
        if (size != sizeof bytes || !stream.read(bytes, sizeof bytes)) {
            return EIO;
        }
        const auto place = place_of(image_.xattr_values_, little<std::uint64_t>(bytes));
        if (!place) {
            return EIO;
        }
        value = MetadataStream(*this, *place);
        if (!value.read(bytes, 4)) {
            return EIO;
        }
        size = little<std::uint32_t>(bytes);
    }
    if (size > max_value) {
        return EIO;
    }
    out->resize(size);
    return value.read(out->data(), size) ? 0 : EIO;
}

int Reader::list_xattrs(const Inode& inode, std::string& out) {
    out.clear();
    MetadataStream stream(*this, {});
    std::uint32_t count = 0;
    if (const int error = open_xattrs(inode, stream, count); error != 0) {
        return error;
    }
    XattrEntry entry;
    for (std::uint32_t i = 0; i < count; ++i) {
        if (const int error = next_xattr(stream, {}, entry); error != 0) {
            return error;
        }
        if (!entry.hidden) {
            out += entry.name;
            out += '\0';
            if (out.size() > max_list) {
                return E2BIG;
            }
        }
        if (const int error = xattr_value(stream, entry.elsewhere, nullptr); error != 0) {
            return error;
        }
    }
    return 0;
}

int Reader::get_xattr(const Inode& inode, std::string_view name, std::string& out) {
    out.clear();
    MetadataStream stream(*this, {});
    std::uint32_t count = 0;
    if (const int error = open_xattrs(inode, stream, count); error != 0) {
        return error;
    }
    XattrEntry entry;
    for (std::uint32_t i = 0; i < count; ++i) {
        if (const int error = next_xattr(stream, name, entry); error != 0) {
            return error;
        }
        const bool wanted = !entry.hidden && entry.name == name;
        const int error = xattr_value(stream, entry.elsewhere, wanted ? &out : nullptr);
        if (error != 0 || wanted) {
            return error;
        }
    }
    return ENODATA;
}

} // namespace slipway::squashfs::reader
