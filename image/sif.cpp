// SPDX-License-Identifier: Apache-2.0
#include "image/sif.hpp"

#include "base/cursor.hpp"
#include "base/fd.hpp"
#include "base/format.hpp"
#include "base/text.hpp"
#include "image/architecture.hpp"

#include <algorithm>
#include <cstring>

namespace slipway::image {
namespace {

using base::Code;
using base::fail;

constexpr std::string_view magic("SIF_MAGIC\0", 10);
constexpr std::size_t magic_at = 32;
constexpr std::string_view version("01\0", 3);
constexpr std::uint64_t max_descriptors = 65536;
constexpr std::size_t max_text_object = std::size_t{16} * 1024 * 1024;

constexpr std::string_view truncated_hint =
    "the file is incomplete or damaged; fetch it again or compare its checksum with the original";

/// Text up to the first NUL.
std::string text_of(std::span<const std::uint8_t> bytes) {
    const auto end = std::find(bytes.begin(), bytes.end(), std::uint8_t{0});
    return {bytes.begin(), end};
}

std::int32_t extra_number(const SifObject& object, std::size_t at) noexcept {
    base::Cursor cursor{std::span(object.extra)};
    cursor.seek(at);
    return cursor.i32();
}

/// The next non-negative i64; a negative one makes the cursor fail.
std::uint64_t unsigned_of(base::Cursor& cursor) noexcept {
    const auto value = cursor.i64();
    if (value < 0) {
        cursor.fail();
        return 0;
    }
    return static_cast<std::uint64_t>(value);
}

base::Unexpected corrupt(std::string why) {
    return fail(Code::image_corrupt, "the SIF file is damaged: " + why,
                std::string(truncated_hint));
}

Result<SifInfo> read_header(int fd, std::uint64_t file_size) {
    std::array<std::uint8_t, sif_header_size> raw{};
    if (file_size < raw.size()) {
        return fail(Code::image_format, "the file is too short to be a SIF image");
    }
    TRY(base::read_exact_at(fd, raw, 0));
    base::Cursor cursor{std::span<const std::uint8_t>(raw)};
    SifInfo sif;
    sif.file_size = file_size;
    sif.launch_script = text_of(cursor.bytes(magic_at));
    const auto seen_magic = cursor.bytes(magic.size());
    if (std::memcmp(seen_magic.data(), magic.data(), magic.size()) != 0) {
        return fail(Code::image_format, "the file is not a SIF image (no SIF magic number)");
    }
    const auto seen_version = cursor.bytes(version.size());
    if (std::memcmp(seen_version.data(), version.data(), version.size()) != 0) {
        return fail(Code::image_format,
                    fmt::format("the SIF file has the format version {}, only '01' is known",
                                base::in_quotes(text_of(seen_version))));
    }
    sif.arch_code = text_of(cursor.bytes(3));
    const auto uuid = cursor.bytes(16);
    std::copy(uuid.begin(), uuid.end(), sif.uuid.begin());
    sif.created = cursor.i64();
    sif.modified = cursor.i64();
    sif.descriptors_free = static_cast<std::uint64_t>(cursor.i64()); // not trusted by anybody
    sif.descriptors_total = unsigned_of(cursor);
    sif.table_offset = unsigned_of(cursor);
    cursor.skip(8); // size of the table: follows from the total
    sif.data_offset = unsigned_of(cursor);
    sif.data_size = unsigned_of(cursor);
    if (!cursor.ok()) {
        return corrupt("its header has negative numbers");
    }
    if (sif.descriptors_total > max_descriptors) {
        return corrupt(fmt::format("it claims {} objects", sif.descriptors_total));
    }
    const auto table = sif.descriptors_total * sif_descriptor_size;
    if (sif.table_offset < sif_header_size || sif.table_offset > file_size ||
        table > file_size - sif.table_offset) {
        return corrupt("its table of objects lies outside the file");
    }
    return sif;
}

/// One descriptor; nothing for an unused one.
Result<std::optional<SifObject>> read_descriptor(std::span<const std::uint8_t> raw,
                                                 std::uint64_t file_size, std::size_t slot) {
    base::Cursor cursor(raw);
    SifObject object;
    object.type = static_cast<SifType>(cursor.i32());
    if (cursor.u8() == 0) {
        return std::optional<SifObject>();
    }
    object.id = cursor.u32();
    object.group = cursor.u32() & ~sif_group_flag;
    object.linked = cursor.u32();
    object.offset = unsigned_of(cursor);
    object.size = unsigned_of(cursor);
    object.size_with_padding = unsigned_of(cursor);
    object.created = cursor.i64();
    object.modified = cursor.i64();
    object.uid = cursor.i64();
    object.gid = cursor.i64();
    object.name = text_of(cursor.bytes(128));
    const auto extra = cursor.bytes(object.extra.size());
    if (!cursor.ok()) {
        return corrupt(fmt::format("descriptor {} has negative numbers", slot + 1));
    }
    std::copy(extra.begin(), extra.end(), object.extra.begin());
    if (object.offset > file_size || object.size > file_size - object.offset) {
        return corrupt(fmt::format("object {} ends at byte {}, but the file has {} bytes",
                                   object.id, object.offset + object.size, file_size));
    }
    return std::optional(std::move(object));
}

Result<std::string> read_text(int fd, const SifObject* object) {
    if (object == nullptr) {
        return std::string();
    }
    return read_sif_object(fd, *object, max_text_object);
}

} // namespace

SifFs SifObject::fs() const noexcept {
    return type == SifType::partition ? static_cast<SifFs>(extra_number(*this, 0)) : SifFs::none;
}

SifPart SifObject::part() const noexcept {
    return type == SifType::partition ? static_cast<SifPart>(extra_number(*this, 4))
                                      : SifPart::none;
}

std::string_view SifObject::architecture() const noexcept {
    if (type != SifType::partition) {
        return unknown_architecture;
    }
    const char code[2] = {static_cast<char>(extra[8]), static_cast<char>(extra[9])};
    return architecture_from_sif_code({code, sizeof code});
}

const SifObject* SifInfo::find(SifType type) const noexcept {
    const auto found = std::find_if(objects.begin(), objects.end(),
                                    [&](const SifObject& object) { return object.type == type; });
    return found == objects.end() ? nullptr : &*found;
}

const SifObject* SifInfo::find_named(SifType type, std::string_view name) const noexcept {
    const auto found = std::find_if(objects.begin(), objects.end(), [&](const SifObject& object) {
        return object.type == type && object.name == name;
    });
    return found == objects.end() ? nullptr : &*found;
}

const SifObject* SifInfo::primary() const noexcept {
    const auto found = std::find_if(objects.begin(), objects.end(), [](const SifObject& object) {
        return object.part() == SifPart::primary;
    });
    return found == objects.end() ? nullptr : &*found;
}

bool looks_like_sif(std::string_view head) noexcept {
    return head.size() >= magic_at + magic.size() && head.substr(magic_at, magic.size()) == magic;
}

Result<SifInfo> read_sif(int fd, std::uint64_t file_size) {
    TRY_ASSIGN(auto sif, read_header(fd, file_size));
    // The total was checked against the file's size, so memory stays below that of the file.
    std::vector<std::uint8_t> table(
        static_cast<std::size_t>(sif.descriptors_total * sif_descriptor_size));
    TRY(base::read_exact_at(fd, table, sif.table_offset));
    std::size_t primaries = 0;
    for (std::size_t slot = 0; slot < sif.descriptors_total; ++slot) {
        const auto raw = std::span<const std::uint8_t>(table).subspan(slot * sif_descriptor_size,
                                                                      sif_descriptor_size);
        TRY_ASSIGN(auto object, read_descriptor(raw, sif.file_size, slot));
        if (object) {
            primaries += object->part() == SifPart::primary ? 1U : 0U;
            sif.objects.push_back(std::move(*object));
        }
    }
    if (primaries > 1) {
        return corrupt("it has more than one primary system partition");
    }
    return sif;
}

Result<std::string> read_sif_object(int fd, const SifObject& object, std::size_t max) {
    if (object.size > max) {
        return fail(Code::limit_exceeded,
                    fmt::format("object {} of the SIF file has {}, more than the {} that are read",
                                object.id, base::size_text(object.size), base::size_text(max)));
    }
    std::vector<std::uint8_t> bytes(static_cast<std::size_t>(object.size));
    TRY(base::read_exact_at(fd, bytes, object.offset));
    return std::string(bytes.begin(), bytes.end());
}

Result<std::string> read_deffile(int fd, const SifInfo& sif) {
    return read_text(fd, sif.find(SifType::deffile));
}

Result<std::string> read_inspect_metadata(int fd, const SifInfo& sif) {
    return read_text(fd, sif.find_named(SifType::generic_json, inspect_metadata_name));
}

} // namespace slipway::image
