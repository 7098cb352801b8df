// SPDX-License-Identifier: Apache-2.0
#include "prefetch/convert/tree.hpp"

#include "base/format.hpp"
#include "base/path.hpp"
#include "base/text.hpp"

#include <algorithm>

namespace slipway::prefetch::convert {

using base::Code;
using base::fail;
using base::Result;

namespace {

constexpr int most_links = 255;           // what umoci allows on one path
constexpr std::size_t most_steps = 4096;  // no path of that many folders can be named
constexpr std::size_t most_todo = 1U << 20U;

} // namespace

Tree::Tree(NamePool& names, const PathPool& paths) : names_(names), paths_(paths) {
    // The pool cannot be full yet.
    if (const auto id = names_.add("..")) {
        dotdot_ = *id;
    }
    Record top;
    top.kind = RecordKind::directory;
    top.mode = 0755;
    made_.push_back(top);
    nodes_.push_back({&made_.back(), IdTable::none, IdTable::none});
}

std::string Tree::describe(const Record& record) const {
    return base::in_quotes(paths_.text(record.path));
}

Result<void> Tree::apply(const LayerRecords& records) {
    ++layer_;
    counting_ = true;
    for (const Record& record : records) {
        TRY(apply_one(record));
    }
    counting_ = false; // what our own tree adds is not the image's fault
    return {};
}

Result<void> Tree::apply_one(const Record& record) {
    if (record.kind == RecordKind::whiteout || record.kind == RecordKind::opaque) {
        return hide(record);
    }
    if (record.path == PathPool::root) {
        nodes_[root].meta = &record; // the reader lets only directories through
        return {};
    }
    paths_.components(record.path, scratch_);
    const NameId leaf = scratch_.back();
    TRY(resolve(scratch_, scratch_.size() - 1));
    TRY_ASSIGN(const NodeId directory, make_directories(record.mtime));

    EntryId entry = lookup(directory, leaf);
    const bool merge = entry != IdTable::none && record.kind == RecordKind::directory &&
                       is_directory(entries_[entry].node);
    if (merge) {
        nodes_[entries_[entry].node].meta = &record;
        touch(entry);
        return {};
    }
    if (entry != IdTable::none) {
        detach(entry);
    }
    NodeId node = none;
    if (record.kind == RecordKind::hard_link) {
        TRY_ASSIGN(node, link_target(record));
    } else {
        TRY_ASSIGN(node, new_node(record));
    }
    TRY_ASSIGN(entry, attach(directory, leaf, node));
    touch(entry);
    return {};
}

Result<Tree::NodeId> Tree::link_target(const Record& record) {
    std::vector<NameId> names;
    paths_.components(record.value, names);
    NodeId target = root;
    if (!names.empty()) {
        TRY(resolve(names, names.size() - 1));
        const NodeId directory = resolved();
        const EntryId entry = directory == none ? IdTable::none : lookup(directory, names.back());
        target = entry == IdTable::none ? none : entries_[entry].node;
    }
    if (target == none) {
        return fail(Code::layer_invalid,
                    fmt::format("hard link {} points to {}, which does not exist", describe(record),
                                base::in_quotes(paths_.text(record.value))));
    }
    if (is_directory(target)) {
        return fail(Code::layer_invalid,
                    fmt::format("hard link {} points to the directory {}", describe(record),
                                base::in_quotes(paths_.text(record.value))));
    }
    return target;
}

Result<void> Tree::hide(const Record& record) {
    paths_.components(record.path, scratch_);
    if (record.kind == RecordKind::opaque) {
        TRY(resolve(scratch_, scratch_.size()));
        const NodeId directory = resolved();
        if (directory != none && is_directory(directory)) {
            hide_children(directory);
        }
        return {};
    }
    TRY(resolve(scratch_, scratch_.size() - 1));
    const NodeId directory = resolved();
    const EntryId entry = directory == none ? IdTable::none : lookup(directory, scratch_.back());
    if (entry != IdTable::none) {
        hide_entry(entry);
    }
    return {};
}

/// Removes an entry of a lower layer. What this layer has put below it stays.
void Tree::hide_entry(EntryId id) {
    if (entries_[id].layer != layer_) {
        detach(id);
        return;
    }
    const NodeId node = entries_[id].node;
    if (is_directory(node)) {
        hide_children(node);
    }
}

void Tree::hide_children(NodeId directory) {
    for (EntryId id = nodes_[directory].first_child; id != IdTable::none;) {
        const EntryId next = entries_[id].next;
        hide_entry(id);
        id = next;
    }
}

Result<void> Tree::resolve(const std::vector<NameId>& names, std::size_t count) {
    steps_.clear();
    todo_.assign(names.rend() - static_cast<std::ptrdiff_t>(count), names.rend());
    int links = 0;
    while (!todo_.empty()) {
        const NameId name = todo_.back();
        todo_.pop_back();
        if (name == dotdot_) {
            if (!steps_.empty()) {
                steps_.pop_back();
            }
            continue;
        }
        const NodeId here = resolved();
        const EntryId entry = here == none ? IdTable::none : lookup(here, name);
        const NodeId node = entry == IdTable::none ? none : entries_[entry].node;
        if (node == none || meta(node).kind != RecordKind::symlink) {
            steps_.push_back({name, node});
            if (steps_.size() > most_steps) {
                return fail(Code::layer_invalid, "a path in the layer has too many folders");
            }
            continue;
        }
        if (++links > most_links) {
            return fail(Code::layer_invalid, "a path in the layer goes round in symlinks");
        }
        // The text outlives this loop: the pool only grows, but adding names may move it.
        const std::string target(names_.text(meta(node).value));
        if (target.starts_with('/')) {
            steps_.clear();
        }
        const auto parts = base::components(target);
        if (todo_.size() + parts.size() > most_todo) {
            return fail(Code::layer_invalid, "a path in the layer goes through too many symlinks");
        }
        for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
            TRY_ASSIGN(const NameId id, names_.add(*part));
            todo_.push_back(id);
        }
    }
    return {};
}

/// Makes every step of the last resolve() a directory.
Result<Tree::NodeId> Tree::make_directories(std::uint32_t mtime) {
    NodeId directory = root;
    for (Step& step : steps_) {
        if (step.node == none || !is_directory(step.node)) {
            if (step.node != none) {
                detach(lookup(directory, step.name)); // a file gives way
            }
            Record record;
            record.kind = RecordKind::directory;
            record.mode = 0755;
            record.mtime = mtime;
            TRY_ASSIGN(step.node, new_made_node(record));
            TRY(attach(directory, step.name, step.node));
        }
        directory = step.node;
    }
    return directory;
}

Tree::EntryId Tree::lookup(NodeId directory, NameId name) const {
    return table_.find(pair_hash(directory, name), [&](EntryId id) {
        return entries_[id].directory == directory && entries_[id].name == name;
    });
}

Result<Tree::NodeId> Tree::new_node(const Record& meta) {
    if (counting_) {
        TRY(budget().check_nodes(nodes_.size()));
    }
    const bool directory = meta.kind == RecordKind::directory;
    TRY(budget().take(cost::inode + (directory ? cost::directory : 0)));
    nodes_.push_back({&meta, IdTable::none, IdTable::none});
    return static_cast<NodeId>(nodes_.size() - 1);
}

/// A node whose metadata no layer has.
Result<Tree::NodeId> Tree::new_made_node(const Record& meta) {
    TRY(budget().take(cost::record));
    made_.push_back(meta);
    return new_node(made_.back());
}

Result<Tree::EntryId> Tree::attach(NodeId directory, NameId name, NodeId node) {
    TRY(budget().take(cost::entry + names_.text(name).size()));
    const auto id = static_cast<EntryId>(entries_.size());
    const EntryId first = nodes_[directory].first_child;
    entries_.push_back({directory, name, node, first, IdTable::none, 0});
    if (first != IdTable::none) {
        entries_[first].previous = id;
    }
    nodes_[directory].first_child = id;
    if (is_directory(node)) {
        nodes_[node].entry = id;
    }
    table_.insert(pair_hash(directory, name), id, [&](EntryId other) {
        return pair_hash(entries_[other].directory, entries_[other].name);
    });
    return id;
}

/// Takes a name away, with everything below it: nothing else can lead there, since directories have
/// one name, so their entries may stay in the table unseen.
void Tree::detach(EntryId id) {
    const Entry& entry = entries_[id];
    if (entry.previous != IdTable::none) {
        entries_[entry.previous].next = entry.next;
    } else {
        nodes_[entry.directory].first_child = entry.next;
    }
    if (entry.next != IdTable::none) {
        entries_[entry.next].previous = entry.previous;
    }
    table_.erase(pair_hash(entry.directory, entry.name), id);
}

/// Marks an entry and everything above it as belonging to this layer.
void Tree::touch(EntryId id) noexcept {
    while (id != IdTable::none && entries_[id].layer != layer_) {
        entries_[id].layer = layer_;
        id = nodes_[entries_[id].directory].entry;
    }
}

Result<Tree::Place> Tree::locate(std::string_view path, bool make, std::uint32_t mtime) {
    std::vector<NameId> names;
    for (const auto& part : base::components(path)) {
        TRY_ASSIGN(const NameId id, names_.add(part));
        names.push_back(id);
    }
    if (names.empty()) {
        return fail(Code::internal, "the root itself has no place in the tree");
    }
    TRY(resolve(names, names.size() - 1));
    Place place;
    place.name = names.back();
    if (make) {
        TRY_ASSIGN(place.directory, make_directories(mtime));
    } else {
        place.directory = resolved();
    }
    if (place.directory != none && is_directory(place.directory)) {
        const EntryId entry = lookup(place.directory, place.name);
        place.node = entry == IdTable::none ? none : entries_[entry].node;
    }
    return place;
}

Result<Tree::Place> Tree::find(std::string_view path) {
    return locate(path, false, 0);
}

Result<Tree::Place> Tree::find_making_parents(std::string_view path, std::uint32_t mtime) {
    return locate(path, true, mtime);
}

Result<void> Tree::put(const Place& place, const Record& meta) {
    if (place.node != none) {
        detach(lookup(place.directory, place.name));
    }
    TRY_ASSIGN(const NodeId node, new_made_node(meta));
    TRY(attach(place.directory, place.name, node));
    return {};
}

Result<void> Tree::move(const Place& from, const Place& to) {
    detach(lookup(from.directory, from.name));
    TRY(attach(to.directory, to.name, from.node));
    return {};
}

std::size_t Tree::child_count(NodeId directory) const noexcept {
    std::size_t count = 0;
    for (EntryId id = nodes_[directory].first_child; id != IdTable::none; id = entries_[id].next) {
        ++count;
    }
    return count;
}

std::vector<std::pair<NameId, Tree::NodeId>> Tree::children(NodeId directory) const {
    std::vector<std::pair<NameId, NodeId>> out;
    out.reserve(child_count(directory));
    for (EntryId id = nodes_[directory].first_child; id != IdTable::none; id = entries_[id].next) {
        out.emplace_back(entries_[id].name, entries_[id].node);
    }
    std::sort(out.begin(), out.end(), [&](const auto& a, const auto& b) {
        return names_.text(a.first) < names_.text(b.first);
    });
    return out;
}

} // namespace slipway::prefetch::convert
