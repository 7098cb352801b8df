// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/plan.hpp"

#include <deque>
#include <map>
#include <string>
#include <vector>

namespace slipway::launcher {

/// What is done about mount points that the root lacks.
enum class MissingPoints : std::uint8_t {
    layered, ///< the root is read-only: a layer over or under it has them
    made,    ///< in the root, which can be written to
    refused, ///< nothing: the root is somebody else's directory
};

/// Where a mount may go: knows the image, what is already planned on top of it, and which mount
/// points have to be made. The planner's memory while it goes through the mounts.
class Targets {
  public:
    Targets(const ImageView& image, MissingPoints missing) noexcept
        : image_(image), missing_(missing) {}

    struct Place {
        std::string path; ///< canonical: no symlink on the way as far as the image is concerned
        Create create = Create::nothing;
        const Operation* cover = nullptr; ///< what the place lies in; nullptr for the image itself
    };
    /// Finds the place for a mount of that kind and notes what must be made for it. With
    /// `replace_link` a symlink at the target itself is replaced and not followed (/etc/localtime
    /// must not write over a zone file); in a writable root that is for files to be written, as
    /// nothing can be mounted on a symlink. Code::mount_target_invalid.
    base::Result<Place> place(const std::string& target, EntryKind kind, bool replace_link = false);

    /// What is at a path right now, symlinks followed inside the image.
    base::Result<Entry> look(const std::string& path) const;
    /// Canonical form of a path as far as it exists.
    base::Result<std::string> canonical(const std::string& path) const;

    /// A planned mount hides what was at its target.
    void cover(const Operation& operation);
    /// A file that will be written into a writable root is there from now on.
    void written(const std::string& path);
    /// The mount that shows what is at a canonical path; nullptr for the image itself.
    [[nodiscard]] const Operation* covering(const std::string& path) const;

    /// The layers that make all noted mount points, parents first. Code::mount_target_invalid when
    /// the root directory is too big to be rebuilt.
    base::Result<std::vector<Underlay>> underlays() const;

  private:
    struct Walk {
        std::string path;                      ///< canonical, with the missing rest appended
        EntryKind kind = EntryKind::directory; ///< of the last component
        std::string deepest;                   ///< last existing directory of the image on the way
        const Operation* cover = nullptr;      ///< the walk ended in this mount
        bool link_replaced = false;
    };
    base::Result<Walk> walk(const std::string& path, bool replace_link) const;
    static void enter_cover(Walk& walk, const Operation& cover,
                            const std::deque<std::string>& rest);
    static void enter_missing(Walk& walk, const std::deque<std::string>& rest);
    base::Result<Entry> entry_at(const std::string& path) const;
    void note(const std::string& directory, const std::string& path, EntryKind kind);

    const ImageView& image_;
    MissingPoints missing_;
    std::vector<Operation> covers_;
    std::map<std::string, std::vector<std::pair<std::string, EntryKind>>> made_;
    mutable std::map<std::string, Entry> seen_;
};

} // namespace slipway::launcher
