// SPDX-License-Identifier: Apache-2.0
#include "base/cursor.hpp"
#include "base/errno_code.hpp"
#include "base/fd.hpp"
#include "base/format.hpp"
#include "image/architecture.hpp"
#include "image/sif.hpp"

#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <ctime>

namespace slipway::image {
namespace {

using base::Code;
using base::fail;

constexpr std::uint64_t data_start =
    sif_table_offset + sif_default_descriptors * sif_descriptor_size;

/// `text` cut or NUL-padded to exactly `width` bytes.
std::string padded(std::string_view text, std::size_t width) {
    std::string out(text.substr(0, width));
    out.resize(width, '\0');
    return out;
}

void put(std::string& out, const base::Packer& numbers) {
    out += numbers.data();
}

std::string encode_header(const SifInfo& sif) {
    std::string out = padded(sif.launch_script, 32);
    out += padded("SIF_MAGIC", 10);
    out += padded("01", 3);
    out += padded(sif.arch_code, 3);
    out.append(sif.uuid.begin(), sif.uuid.end());
    base::Packer numbers;
    numbers.u64(static_cast<std::uint64_t>(sif.created));
    numbers.u64(static_cast<std::uint64_t>(sif.modified));
    numbers.u64(sif.descriptors_free);
    numbers.u64(sif.descriptors_total);
    numbers.u64(sif.table_offset);
    numbers.u64(sif.descriptors_total * sif_descriptor_size);
    numbers.u64(sif.data_offset);
    numbers.u64(sif.data_size);
    put(out, numbers);
    return out;
}

std::string encode_descriptor(const SifObject& object) {
    base::Packer numbers;
    numbers.u32(static_cast<std::uint32_t>(object.type));
    numbers.u8(1);
    numbers.u32(object.id);
    numbers.u32(sif_group_flag | object.group);
    numbers.u32(object.linked);
    numbers.u64(object.offset);
    numbers.u64(object.size);
    numbers.u64(object.size_with_padding);
    numbers.u64(static_cast<std::uint64_t>(object.created));
    numbers.u64(static_cast<std::uint64_t>(object.modified));
    numbers.u64(static_cast<std::uint64_t>(object.uid));
    numbers.u64(static_cast<std::uint64_t>(object.gid));
    std::string out = numbers.data();
    out += padded(object.name, 128);
    out.append(object.extra.begin(), object.extra.end());
    return out;
}

Result<SifUuid> random_uuid() {
    SifUuid uuid{};
    if (::getrandom(uuid.data(), uuid.size(), 0) != static_cast<ssize_t>(uuid.size())) {
        return base::fail_errno(Code::system, errno, "cannot get random bytes");
    }
    uuid[6] = static_cast<std::uint8_t>((uuid[6] & 0x0FU) | 0x40U); // version 4
    uuid[8] = static_cast<std::uint8_t>((uuid[8] & 0x3FU) | 0x80U); // variant of RFC 4122
    return uuid;
}

std::span<const std::uint8_t> bytes_of(std::string_view text) noexcept {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

} // namespace

std::string encode_sif_head(const SifInfo& sif) {
    std::string out = encode_header(sif);
    out.resize(
        static_cast<std::size_t>(sif.table_offset + sif.descriptors_total * sif_descriptor_size));
    for (const auto& object : sif.objects) {
        if (object.id >= 1 && object.id <= sif.descriptors_total) {
            const auto at = sif.table_offset + (object.id - 1) * sif_descriptor_size;
            out.replace(static_cast<std::size_t>(at), sif_descriptor_size,
                        encode_descriptor(object));
        }
    }
    return out;
}

SifWriter::SifWriter(int fd, Options options)
    : fd_(fd), options_(options),
      time_(options.reproducible ? sif_zero_time : static_cast<std::int64_t>(std::time(nullptr))),
      end_(data_start) {}

SifObject SifWriter::next_object(SifType type, std::uint64_t offset, std::uint64_t size) const {
    SifObject object;
    object.type = type;
    object.id = static_cast<std::uint32_t>(objects_.size() + 1);
    object.group = 1;
    object.offset = offset;
    object.size = size;
    object.size_with_padding = size + (offset - end_);
    object.created = time_;
    object.modified = time_;
    return object;
}

Result<void> SifWriter::add(SifType type, std::string_view name, std::string_view content) {
    if (partition_at_ != 0) {
        return fail(Code::internal,
                    "a SIF object was added after the file system's place was fixed");
    }
    if (objects_.size() + 1 >= sif_default_descriptors) {
        return fail(Code::limit_exceeded, "a SIF file has no room for more than 48 objects");
    }
    if (name.size() >= 128) {
        return fail(Code::limit_exceeded, "the name of a SIF object has at most 127 bytes");
    }
    auto object = next_object(type, end_, content.size());
    object.name = std::string(name);
    TRY(base::write_all_at(fd_, bytes_of(content), object.offset));
    end_ = object.offset + object.size;
    objects_.push_back(std::move(object));
    return {};
}

std::uint64_t SifWriter::partition_offset() {
    if (partition_at_ == 0) {
        partition_at_ = (end_ + sif_partition_alignment - 1) / sif_partition_alignment *
                        sif_partition_alignment;
    }
    return partition_at_;
}

Result<void> SifWriter::finish(std::uint64_t partition_size, std::string_view goarch, SifFs fs) {
    auto root = next_object(SifType::partition, partition_offset(), partition_size);
    const auto code = sif_code_from_architecture(goarch);
    base::Packer extra;
    extra.u32(static_cast<std::uint32_t>(fs));
    extra.u32(static_cast<std::uint32_t>(SifPart::primary));
    std::copy(extra.data().begin(), extra.data().end(), root.extra.begin());
    std::copy(code.begin(), code.end(), root.extra.begin() + 8);
    end_ = root.offset + root.size;
    objects_.push_back(std::move(root));

    SifInfo sif;
    sif.launch_script = sif_launch_line;
    sif.arch_code = code;
    if (!options_.reproducible) {
        TRY_ASSIGN(sif.uuid, random_uuid());
    }
    sif.created = time_;
    sif.modified = time_;
    sif.descriptors_total = sif_default_descriptors;
    sif.descriptors_free = sif_default_descriptors - objects_.size();
    sif.table_offset = sif_table_offset;
    sif.data_offset = data_start;
    sif.data_size = end_ - data_start;
    sif.objects = objects_;

    if (::ftruncate(fd_, static_cast<off_t>(end_)) != 0) {
        return base::fail_write(errno, "cannot set the length of the image file");
    }
    // The header goes last: only with it the file becomes an image.
    const auto head = encode_sif_head(sif);
    const auto all = bytes_of(head);
    TRY(base::write_all_at(fd_, all.subspan(sif_header_size), sif_header_size));
    return base::write_all_at(fd_, all.first(sif_header_size), 0);
}

} // namespace slipway::image
