// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "prefetch/convert/record.hpp"

#include <deque>
#include <string_view>
#include <utility>
#include <vector>

namespace slipway::prefetch::convert {

/// The root file system in memory: directory entries and inodes, changed by layer entries exactly as
/// umoci changes a real directory. Only names and metadata; content stays in the DataWriter.
///
/// Rules (OCI image-spec layer.md; where it is silent, umoci): parents are resolved inside the root
/// and follow symlinks, missing ones are made, an entry itself never follows; a directory over a
/// directory keeps the children and takes the new metadata, anything else replaces; whiteouts and
/// opaque marks touch only what comes from lower layers; hard links share an inode. One rule is
/// friendlier than umoci 0.4: a file that stands where a parent directory is needed gives way.
class Tree {
  public:
    using NodeId = std::uint32_t;
    static constexpr NodeId none = UINT32_MAX;
    static constexpr NodeId root = 0;

    Tree(NamePool& names, const PathPool& paths);
    Tree(const Tree&) = delete;
    Tree& operator=(const Tree&) = delete;

    /// Applies one layer on top of what is there. `records` must outlive the tree. A hard link
    /// without a target, to a directory, or more than 255 symlinks on one path:
    /// Code::layer_invalid naming the entry; Code::limit_exceeded for the budget of the names.
    base::Result<void> apply(const LayerRecords& records);

    /// What a name inside the tree leads to, following symlinks in all parents but not at the end.
    struct Place {
        NodeId directory = none; ///< that holds the last name; none when it does not exist
        NameId name = 0;
        NodeId node = none; ///< none when there is nothing of that name
    };
    base::Result<Place> find(std::string_view path);
    /// The same, and makes the missing parents.
    base::Result<Place> find_making_parents(std::string_view path, std::uint32_t mtime);

    /// Puts a new inode with these facts there, instead of what may be there.
    base::Result<void> put(const Place& place, const Record& meta);
    /// Gives what lies at `from` a second name and takes the first one away.
    base::Result<void> move(const Place& from, const Place& to);

    [[nodiscard]] const Record& meta(NodeId node) const noexcept { return *nodes_[node].meta; }
    /// Entries of a directory in byte order of their names, as SquashFS wants them.
    [[nodiscard]] std::vector<std::pair<NameId, NodeId>> children(NodeId directory) const;
    [[nodiscard]] std::size_t child_count(NodeId directory) const noexcept;
    [[nodiscard]] bool is_directory(NodeId node) const noexcept {
        return nodes_[node].meta->kind == RecordKind::directory;
    }
    [[nodiscard]] std::size_t node_limit() const noexcept { return nodes_.size(); } ///< ids are below
    [[nodiscard]] const NamePool& names() const noexcept { return names_; }
    [[nodiscard]] Budget& budget() const noexcept { return names_.budget(); }

  private:
    using EntryId = std::uint32_t;
    struct Node {
        const Record* meta = nullptr;
        EntryId first_child = UINT32_MAX;
        EntryId entry = UINT32_MAX; ///< of a directory: its only name
    };
    struct Entry {
        NodeId directory = 0;
        NameId name = 0;
        NodeId node = 0;
        EntryId next = UINT32_MAX;
        EntryId previous = UINT32_MAX;
        std::uint32_t layer = 0; ///< last one that touched it or something below it
    };
    struct Step {
        NameId name;
        NodeId node; ///< none: does not exist
    };

    base::Result<void> apply_one(const Record& record);
    base::Result<void> hide(const Record& record);
    void hide_entry(EntryId id);
    void hide_children(NodeId directory);
    base::Result<NodeId> link_target(const Record& record);
    /// The directory that names lead to, as steps from the root; result in steps_.
    base::Result<void> resolve(const std::vector<NameId>& names, std::size_t count);
    base::Result<NodeId> make_directories(std::uint32_t mtime);
    [[nodiscard]] EntryId lookup(NodeId directory, NameId name) const;
    [[nodiscard]] NodeId resolved() const noexcept {
        return steps_.empty() ? root : steps_.back().node;
    }
    base::Result<EntryId> attach(NodeId directory, NameId name, NodeId node);
    void detach(EntryId id);
    base::Result<NodeId> new_node(const Record& meta);
    base::Result<NodeId> new_made_node(const Record& meta);
    void touch(EntryId id) noexcept;
    base::Result<Place> locate(std::string_view path, bool make, std::uint32_t mtime);
    [[nodiscard]] std::string describe(const Record& record) const;

    NamePool& names_;
    const PathPool& paths_;
    NameId dotdot_ = 0;
    GrowingArray<Node> nodes_;
    GrowingArray<Entry> entries_;
    IdTable table_; ///< entries by directory and name
    std::deque<Record> made_; ///< metadata that no layer has: implicit directories, added files
    std::uint32_t layer_ = 0;
    bool counting_ = false;   ///< nodes are those of layers: as many as the budget says
    std::vector<Step> steps_;      ///< result of resolve()
    std::vector<NameId> scratch_;  ///< of apply_one
    std::vector<NameId> todo_;     ///< of resolve, next name last
};

} // namespace slipway::prefetch::convert
