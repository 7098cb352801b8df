// SPDX-License-Identifier: Apache-2.0
#include "prefetch/convert/layer_reader.hpp"

#include "base/format.hpp"
#include "base/text.hpp"
#include "prefetch/convert/squashfs_tables.hpp"

#include <algorithm>

namespace slipway::prefetch::convert {

using base::Code;
using base::fail;
using base::Result;

namespace {

constexpr std::string_view whiteout_prefix = ".wh.";
constexpr std::string_view opaque_name = ".wh..wh..opq";
constexpr std::string_view aufs_prefix = ".wh..wh.";
constexpr std::size_t longest_symlink = 4095;
constexpr std::size_t named_xattrs = 3;

std::uint32_t clamped_time(std::int64_t seconds) noexcept {
    return static_cast<std::uint32_t>(std::clamp<std::int64_t>(seconds, 0, UINT32_MAX));
}

/// What SquashFS can store, without labels that mean something on the build host only.
bool keeps_xattr(std::string_view name) noexcept {
    if (name == "security.selinux") {
        return false;
    }
    for (const std::string_view prefix : {"user.", "trusted.", "security."}) {
        if (name.starts_with(prefix) && name.size() > prefix.size()) {
            return true;
        }
    }
    return false;
}

RecordKind kind_of(EntryType type) noexcept {
    switch (type) {
    case EntryType::directory:
        return RecordKind::directory;
    case EntryType::symlink:
        return RecordKind::symlink;
    case EntryType::hard_link:
        return RecordKind::hard_link;
    case EntryType::char_device:
        return RecordKind::char_device;
    case EntryType::block_device:
        return RecordKind::block_device;
    case EntryType::fifo:
        return RecordKind::fifo;
    case EntryType::file:
        break;
    }
    return RecordKind::file;
}

} // namespace

LayerReader::LayerReader(NamePool& names, PathPool& paths, NamePool& xattr_sets, DataWriter& data,
                         const ConvertOptions& options)
    : names_(names), paths_(paths), xattr_sets_(xattr_sets), data_(data), options_(options),
      path_limits_{options.limits.path_bytes, options.limits.depth} {}

Result<LayerRecords> LayerReader::read(TarInput& tar, std::uint16_t layer) {
    LayerRecords records;
    TarReader reader(tar, tar_limits());
    TarEntry entry;
    for (;;) {
        TRY_ASSIGN(const bool more, reader.next(entry));
        if (!more) {
            break;
        }
        if (++counts_.entries > options_.limits.entries) {
            return fail(Code::limit_exceeded,
                        fmt::format("the image has more than {} entries", options_.limits.entries),
                        "ask for a higher limit (limits.entries)");
        }
        Record record;
        TRY_ASSIGN(const bool wanted, make_record(entry, record));
        if (!wanted) {
            continue;
        }
        if (record.kind == RecordKind::file && entry.size > 0) {
            counts_.content_bytes += entry.size;
            if (entry.size > options_.limits.image_bytes ||
                counts_.content_bytes > options_.limits.image_bytes) {
                return fail(Code::limit_exceeded,
                            fmt::format("with entry {} the files of the image are larger than {}",
                                        base::in_quotes(entry.path),
                                        base::size_text(options_.limits.image_bytes)),
                            "ask for a higher limit (limits.image_size)");
            }
            if (paths_.hidden(record.path, layer)) {
                record.skipped = true;
                ++counts_.masked_files;
                counts_.masked_bytes += entry.size;
            } else {
                TRY(take_content(reader, entry, record));
            }
        }
        cover(record, layer);
        TRY(names_.budget().take(cost::record));
        records.push_back(record);
    }
    TRY(reader.drain());
    counts_.tar.lone_zero_blocks += reader.notes().lone_zero_blocks;
    counts_.tar.skipped_entries += reader.notes().skipped_entries;
    records.shrink();
    return records;
}

/// Every entry may have its extension headers, but they have an end.
TarLimits LayerReader::tar_limits() const {
    constexpr std::uint64_t headers_per_entry = 4; // two long names, a pax header, itself
    TarLimits limits;
    limits.headers = options_.limits.entries > UINT64_MAX / (2 * headers_per_entry)
                         ? UINT64_MAX
                         : headers_per_entry * (options_.limits.entries + 16);
    return limits;
}

Result<void> LayerReader::read_again(TarInput& tar, LayerRecords& records,
                                     const std::vector<bool>& wanted) {
    TarReader reader(tar, tar_limits());
    TarEntry entry;
    for (std::size_t index = 0;;) {
        TRY_ASSIGN(const bool more, reader.next(entry));
        if (!more) {
            break;
        }
        Record again;
        TRY_ASSIGN(const bool kept, make_record(entry, again));
        if (!kept) {
            continue;
        }
        if (index >= records.size() || records[index].path != again.path ||
            records[index].kind != again.kind) {
            return fail(Code::digest_mismatch, "the layer is not the same at the second reading",
                        "the registry or mirror serves wrong data; try again or use another");
        }
        if (wanted[index] && records[index].skipped) {
            TRY(take_content(reader, entry, records[index]));
            records[index].skipped = false;
        }
        ++index;
    }
    return reader.drain();
}

Result<void> LayerReader::take_content(TarReader& reader, const TarEntry& entry, Record& record) {
    TRY_ASSIGN(record.value, data_.begin(entry.size));
    for (;;) {
        TRY_ASSIGN(const auto part, reader.content());
        if (part.at_end()) {
            break;
        }
        if (part.hole > 0) {
            TRY(data_.append_hole(part.hole));
        } else {
            TRY(data_.append(part.data));
        }
    }
    return data_.end();
}

Result<bool> LayerReader::make_record(const TarEntry& entry, Record& record) {
    TRY_ASSIGN(const auto cleaned, paths_.add(entry.path, path_limits_));
    counts_.climbing_paths += cleaned.climbed ? 1 : 0;
    record.path = cleaned.path;
    if (cleaned.path == PathPool::root) {
        if (entry.type != EntryType::directory) {
            return fail(Code::layer_invalid,
                        fmt::format("entry {} would replace the root directory",
                                    base::in_quotes(entry.path)));
        }
        TRY(fill(entry, record));
        return true;
    }
    // Bookkeeping of AUFS, the first storage driver of Docker, is nobody's file.
    for (PathId at = cleaned.path; at != PathPool::root; at = paths_.parent(at)) {
        const std::string_view name = names_.text(paths_.name(at));
        if (name.starts_with(aufs_prefix) && !(at == cleaned.path && name == opaque_name)) {
            return false;
        }
    }
    if (names_.text(paths_.name(cleaned.path)).starts_with(whiteout_prefix)) {
        return make_whiteout(entry, record);
    }
    TRY(fill(entry, record));
    return true;
}

Result<bool> LayerReader::make_whiteout(const TarEntry& entry, Record& record) {
    const std::string_view name = names_.text(paths_.name(record.path));
    if (name == opaque_name) {
        record.kind = RecordKind::opaque;
        record.path = paths_.parent(record.path);
        return true;
    }
    const std::string hidden(name.substr(whiteout_prefix.size()));
    if (hidden.empty() || hidden == "." || hidden == "..") {
        return fail(Code::layer_invalid, fmt::format("entry {} is a whiteout of nothing",
                                                     base::in_quotes(entry.path)));
    }
    record.kind = RecordKind::whiteout;
    TRY_ASSIGN(record.path, paths_.sibling(record.path, hidden));
    return true;
}

Result<void> LayerReader::fill(const TarEntry& entry, Record& record) {
    record.kind = kind_of(entry.type);
    record.mode = entry.mode;
    record.mtime = clamped_time(entry.mtime);
    if (options_.keep_owners) {
        if (entry.uid >= UINT32_MAX || entry.gid >= UINT32_MAX) {
            return fail(Code::layer_invalid, fmt::format("entry {} has an impossible owner",
                                                         base::in_quotes(entry.path)));
        }
        record.uid = static_cast<std::uint32_t>(entry.uid);
        record.gid = static_cast<std::uint32_t>(entry.gid);
    }
    if (record.kind == RecordKind::symlink) {
        record.mode = 0777;
    } else if (options_.readable_by_all) {
        const unsigned may = record.mode & 0500U;
        record.mode = static_cast<std::uint16_t>(record.mode | may >> 3U | may >> 6U);
    }
    if (record.kind != RecordKind::hard_link) {
        TRY_ASSIGN(record.xattrs, attributes(entry));
    }
    TRY_ASSIGN(record.value, link_value(entry));
    return {};
}

Result<std::uint32_t> LayerReader::link_value(const TarEntry& entry) {
    switch (entry.type) {
    case EntryType::symlink:
        if (entry.link.empty() || entry.link.size() > longest_symlink ||
            entry.link.find('\0') != std::string::npos) {
            return fail(Code::layer_invalid,
                        fmt::format("symlink {} has a target that is empty or over {} bytes",
                                    base::in_quotes(entry.path), longest_symlink));
        }
        return names_.add(entry.link);
    case EntryType::hard_link: {
        TRY_ASSIGN(const auto cleaned, paths_.add(entry.link, path_limits_));
        counts_.climbing_paths += cleaned.climbed ? 1 : 0;
        return cleaned.path;
    }
    case EntryType::char_device:
    case EntryType::block_device:
        return pack_device(entry.device_major, entry.device_minor);
    default:
        return Record::no_payload;
    }
}

Result<NameId> LayerReader::attributes(const TarEntry& entry) {
    const auto unwanted = [](const auto& xattr) { return !keeps_xattr(xattr.first); };
    if (std::none_of(entry.xattrs.begin(), entry.xattrs.end(), unwanted)) {
        return xattr_sets_.add(pack_xattrs(entry.xattrs));
    }
    auto kept = entry.xattrs;
    for (const auto& [name, value] : entry.xattrs) {
        if (!keeps_xattr(name)) {
            ++counts_.dropped_xattr_count;
            if (counts_.dropped_xattrs.size() < named_xattrs) {
                counts_.dropped_xattrs.insert(name);
            }
        }
    }
    std::erase_if(kept, unwanted);
    return xattr_sets_.add(pack_xattrs(kept));
}

/// Notes what this entry hides in lower layers.
void LayerReader::cover(const Record& record, std::uint16_t layer) {
    if (record.kind == RecordKind::opaque) {
        paths_.cover_below(record.path, layer);
        return;
    }
    paths_.cover(record.path, layer);
    if (record.kind != RecordKind::directory) {
        paths_.cover_below(record.path, layer);
    }
}

} // namespace slipway::prefetch::convert
