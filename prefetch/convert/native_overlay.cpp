// SPDX-License-Identifier: Apache-2.0
#include "prefetch/convert/native_overlay.hpp"

#include "base/format.hpp"

namespace slipway::prefetch::convert {

using base::Code;
using base::fail;
using base::Result;
using image::EntryKind;
using image::EntryRule;

namespace {

RecordKind record_kind(EntryKind kind) noexcept {
    switch (kind) {
    case EntryKind::directory:
        return RecordKind::directory;
    case EntryKind::symlink:
        return RecordKind::symlink;
    case EntryKind::file:
        break;
    }
    return RecordKind::file;
}

/// True when what is there stays as it is.
bool stays(const Tree& tree, const Tree::Place& place, EntryRule rule) {
    if (place.node == Tree::none) {
        return false;
    }
    switch (rule) {
    case EntryRule::keep:
        return true;
    case EntryRule::directory:
        return tree.is_directory(place.node);
    case EntryRule::link:
        return tree.meta(place.node).kind != RecordKind::symlink;
    case EntryRule::replace:
    case EntryRule::truncate:
        break;
    }
    return false;
}

Result<std::uint32_t> content_of(DataWriter& data, NamePool& names,
                                 const image::NativeEntry& entry) {
    if (entry.kind == EntryKind::symlink) {
        return names.add(entry.content);
    }
    if (entry.kind == EntryKind::directory || entry.content.empty()) {
        return Record::no_payload;
    }
    TRY_ASSIGN(const PayloadId id, data.begin(entry.content.size()));
    TRY(data.append(
        {reinterpret_cast<const std::uint8_t*>(entry.content.data()), entry.content.size()}));
    TRY(data.end());
    return id;
}

/// The base image may itself come from a native image: its definition text goes into the history.
Result<void> keep_old_deffile(Tree& tree, std::uint32_t mtime) {
    TRY_ASSIGN(const auto old, tree.find(image::native_deffile_path));
    if (old.node == Tree::none || tree.meta(old.node).kind != RecordKind::file) {
        return {};
    }
    constexpr int most = 10'000;
    for (int number = 0; number < most; ++number) {
        const std::string path = fmt::format("{}/Singularity{}", image::native_history_dir, number);
        TRY_ASSIGN(const auto place, tree.find_making_parents(path, mtime));
        if (place.node == Tree::none) {
            return tree.move(old, place);
        }
    }
    return fail(Code::limit_exceeded, fmt::format("the image has {} old definition files", most));
}

} // namespace

Result<void> overlay_native(Tree& tree, DataWriter& data, NamePool& names,
                            const std::vector<image::NativeEntry>& entries, std::uint32_t mtime) {
    TRY(keep_old_deffile(tree, mtime));
    for (const auto& entry : entries) {
        TRY_ASSIGN(const auto place, tree.find_making_parents(entry.path, mtime));
        if (stays(tree, place, entry.rule)) {
            continue;
        }
        Record record;
        record.kind = record_kind(entry.kind);
        record.mode = static_cast<std::uint16_t>(entry.mode & 07777U);
        record.mtime = mtime;
        if (entry.rule == EntryRule::truncate && place.node != Tree::none &&
            tree.meta(place.node).kind == RecordKind::file) {
            record.mode = tree.meta(place.node).mode;
        }
        if (record.kind == RecordKind::symlink) {
            record.mode = 0777;
        }
        TRY_ASSIGN(record.value, content_of(data, names, entry));
        TRY(tree.put(place, record));
    }
    return {};
}

} // namespace slipway::prefetch::convert
