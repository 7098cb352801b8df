// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.hpp"
#include "prefetch/convert/budget.hpp"
#include "prefetch/convert/growing_array.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace slipway::prefetch::convert {

/// A hash table of 32-bit ids whose keys live elsewhere: 4 bytes a slot. `Owner` gives
/// hash_of(id) -> uint64 for growing.
class IdTable {
  public:
    static constexpr std::uint32_t none = UINT32_MAX;

    /// The id whose key has this hash and for which same(id) is true, or `none`.
    template <typename Same> [[nodiscard]] std::uint32_t find(std::uint64_t hash, Same same) const {
        if (slots_.empty()) {
            return none;
        }
        for (std::size_t at = hash & mask();; at = (at + 1) & mask()) {
            if (slots_[at] == none) {
                return none;
            }
            if (slots_[at] != gone && same(slots_[at])) {
                return slots_[at];
            }
        }
    }

    /// Adds an id that is not there yet; hash_of(id) must give the hash of any id inside.
    template <typename HashOf> void insert(std::uint64_t hash, std::uint32_t id, HashOf hash_of) {
        if ((used_ + 1) * 4 > slots_.size() * 3) {
            grow(hash_of);
        }
        place(hash, id);
    }

    /// Takes out an id that is inside.
    void erase(std::uint64_t hash, std::uint32_t id) noexcept {
        for (std::size_t at = hash & mask();; at = (at + 1) & mask()) {
            if (slots_[at] == id) {
                slots_[at] = gone;
                --live_;
                return;
            }
            if (slots_[at] == none) {
                return;
            }
        }
    }

  private:
    static constexpr std::uint32_t gone = UINT32_MAX - 1;

    [[nodiscard]] std::size_t mask() const noexcept { return slots_.size() - 1; }

    void place(std::uint64_t hash, std::uint32_t id) noexcept {
        std::size_t at = hash & mask();
        while (slots_[at] != none && slots_[at] != gone) {
            at = (at + 1) & mask();
        }
        used_ += slots_[at] == none ? 1 : 0;
        ++live_;
        slots_[at] = id;
    }

    template <typename HashOf> void grow(HashOf hash_of) {
        // Mostly tombstones: the same size again is enough.
        const std::size_t size = live_ * 2 < slots_.size() && !slots_.empty() ? slots_.size()
                                 : slots_.empty()                            ? 64
                                                                             : slots_.size() * 2;
        std::vector<std::uint32_t> old(size, none);
        old.swap(slots_);
        used_ = live_ = 0;
        for (const std::uint32_t id : old) {
            if (id != none && id != gone) {
                place(hash_of(id), id);
            }
        }
    }

    std::vector<std::uint32_t> slots_;
    std::size_t used_ = 0; ///< slots that are not `none`
    std::size_t live_ = 0; ///< slots with an id
};

using NameId = std::uint32_t;
using PathId = std::uint32_t;

/// File names and other short texts, each stored once. Ids count from 0 in order of arrival, so
/// they are the same for equal input.
class NamePool {
  public:
    /// What a new text costs is charged to the budget, which outlives the pool: so many bytes, and
    /// the text itself `factor` times.
    explicit NamePool(Budget& budget, std::uint64_t bytes = cost::name, std::uint64_t factor = 1)
        : budget_(budget), bytes_(bytes), factor_(factor) {
        ends_.push_back(0);
    }

    /// Code::limit_exceeded beyond 4 GiB of text, or when the budget is used up.
    base::Result<NameId> add(std::string_view text);
    [[nodiscard]] Budget& budget() const noexcept { return budget_; }
    [[nodiscard]] std::string_view text(NameId id) const noexcept {
        return {text_.data() + ends_[id], ends_[id + 1] - ends_[id]};
    }

  private:
    Budget& budget_;
    const std::uint64_t bytes_;
    const std::uint64_t factor_;
    GrowingArray<char> text_;
    GrowingArray<std::uint32_t> ends_; ///< of the text before id, so that id + 1 is its own end
    IdTable table_;
};

/// Paths as pairs of parent and name, each stored once, with what upper layers have hidden.
/// Layers are seen from the top (highest number) down.
class PathPool {
  public:
    static constexpr PathId root = 0;

    struct Limits {
        std::size_t path_bytes = 4096;
        std::size_t depth = 256;
    };
    struct Cleaned {
        PathId path = root;
        bool climbed = false; ///< it had a ".." component
    };

    explicit PathPool(NamePool& names) : names_(names) { nodes_.push_back({}); }

    /// Cleans a path the way umoci does: leading "/", "//" and "." vanish, ".." goes back
    /// lexically and never above the root. Code::layer_invalid for a NUL byte or a component over
    /// 255 bytes, Code::limit_exceeded for the limits, the budget and its number of nodes.
    base::Result<Cleaned> add(std::string_view raw, const Limits& limits);

    [[nodiscard]] PathId parent(PathId id) const noexcept { return nodes_[id].parent; }
    [[nodiscard]] NameId name(PathId id) const noexcept { return nodes_[id].name; }
    [[nodiscard]] std::string text(PathId id) const; ///< "a/b"; "." for the root
    [[nodiscard]] std::size_t size() const noexcept { return nodes_.size(); }

    /// The path beside `id` with that name.
    base::Result<PathId> sibling(PathId id, std::string_view name);

    /// Names from the root down.
    void components(PathId id, std::vector<NameId>& out) const;

    /// Notes that `layer` puts something at this path; lower layers' non-directories there are gone.
    void cover(PathId id, std::uint16_t layer) noexcept { note(nodes_[id].covered, layer); }
    /// Notes that everything lower layers have below this path is gone.
    void cover_below(PathId id, std::uint16_t layer) noexcept {
        note(nodes_[id].covered_below, layer);
    }
    /// True when a layer above `layer` literally hides a file of `layer` at this path. This is a
    /// guess in good faith: symlinked parents and hard links can prove it wrong.
    [[nodiscard]] bool hidden(PathId id, std::uint16_t layer) const noexcept;

  private:
    struct Node {
        PathId parent = root;
        NameId name = 0;
        std::uint16_t covered = 0;       ///< highest layer + 1 that says so, 0: none
        std::uint16_t covered_below = 0; ///< the same
    };
    static void note(std::uint16_t& field, std::uint16_t layer) noexcept {
        if (field == 0) {
            field = static_cast<std::uint16_t>(layer + 1);
        }
    }
    base::Result<PathId> child(PathId parent, NameId name);

    NamePool& names_;
    GrowingArray<Node> nodes_;
    IdTable table_;
};

/// Mixes two 32-bit ids into a hash. Like the hash of texts it is keyed with a secret of the process,
/// so that nobody can choose names that collide.
std::uint64_t pair_hash(std::uint32_t a, std::uint32_t b) noexcept;

} // namespace slipway::prefetch::convert
