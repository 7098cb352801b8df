// SPDX-License-Identifier: Apache-2.0
#include "launcher/devices/ld_so_cache.hpp"

#include "base/cursor.hpp"

#include <algorithm>
#include <optional>

namespace slipway::launcher::devices {
namespace {

using base::Code;
using base::Cursor;
using base::fail;
using base::Result;

constexpr std::string_view old_magic = "ld.so-1.7.0";
constexpr std::size_t old_header = 16; // magic, a byte to align, number of entries
constexpr std::size_t old_entry = 12;
constexpr std::string_view new_magic = "glibc-ld.so.cache1.1";
constexpr std::size_t new_header = 48;
constexpr std::size_t new_entry = 24;
constexpr std::size_t max_entries = 100'000;
constexpr std::size_t max_name = 255;
constexpr std::size_t max_path = 4095;
/// In `hwcap`: the entry is for processors that the glibc-hwcaps extension names.
constexpr std::uint64_t special_processor = 1ULL << 62U;

base::Unexpected damaged() {
    return fail(Code::io, "the loader's cache is damaged");
}

/// The text at an offset, up to its NUL.
std::optional<std::string_view> text_at(std::string_view strings, std::uint32_t offset,
                                        std::size_t max) {
    if (offset >= strings.size()) {
        return std::nullopt;
    }
    const auto rest = strings.substr(offset, max + 1);
    const auto end = rest.find('\0');
    return end == std::string_view::npos || end == 0 ? std::nullopt
                                                     : std::optional(rest.substr(0, end));
}

/// `strings`: what offsets count from. `size` of one entry, which begins in both formats with
/// flags, name and path.
Result<std::vector<CachedLibrary>> read_entries(std::string_view entries, std::size_t count,
                                                std::size_t size, std::string_view strings) {
    if (count > max_entries) {
        return fail(Code::limit_exceeded, "the loader's cache has too many entries");
    }
    if (entries.size() / size < count) {
        return damaged();
    }
    std::vector<CachedLibrary> found;
    for (std::size_t i = 0; i < count; ++i) {
        Cursor in(entries.substr(i * size, size));
        CachedLibrary library;
        library.flags = in.u32();
        const auto name = text_at(strings, in.u32(), max_name);
        const auto path = text_at(strings, in.u32(), max_path);
        if (!name || !path || name->find('/') != std::string_view::npos ||
            path->front() != '/') {
            return damaged();
        }
        library.name = *name;
        library.path = *path;
        in.skip(size == new_entry ? sizeof(std::uint32_t) : 0); // a version of the kernel
        if (size == old_entry || (in.u64() & special_processor) == 0) {
            found.push_back(library);
        }
    }
    return found;
}

Result<std::vector<CachedLibrary>> parse_new(std::string_view bytes) {
    constexpr std::uint8_t order_mask = 3;
    constexpr std::uint8_t big_endian = 3;
    Cursor in(bytes);
    in.skip(new_magic.size());
    const std::size_t count = in.u32();
    in.skip(sizeof(std::uint32_t)); // bytes of strings
    const auto order = in.u8() & order_mask;
    if (!in.ok() || order == big_endian || bytes.size() < new_header) {
        return damaged();
    }
    return read_entries(bytes.substr(new_header), count, new_entry, bytes);
}

} // namespace

Result<std::vector<CachedLibrary>> parse_loader_cache(std::string_view bytes) {
    if (bytes.starts_with(new_magic)) {
        return parse_new(bytes);
    }
    if (!bytes.starts_with(old_magic) || bytes.size() < old_header) {
        return damaged();
    }
    Cursor in(bytes);
    in.skip(old_header - sizeof(std::uint32_t));
    const std::size_t count = in.u32();
    const auto entries = bytes.substr(old_header);
    if (entries.size() / old_entry < count) {
        return damaged();
    }
    constexpr std::size_t alignment = 8;
    const auto end = old_header + count * old_entry;
    const auto next = std::min((end + alignment - 1) / alignment * alignment, bytes.size());
    if (bytes.substr(next).starts_with(new_magic)) {
        return parse_new(bytes.substr(next));
    }
    return read_entries(entries, count, old_entry, bytes.substr(end));
}

} // namespace slipway::launcher::devices
