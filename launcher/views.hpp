// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/enum_table.hpp"
#include "base/fd.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

/// The planner's two windows on the world, so that tests can paint their own.
namespace slipway::launcher {

enum class EntryKind : std::uint8_t { missing, directory, file, symlink };
inline constexpr base::EnumTable entry_kinds = std::array{
    base::EnumRow{EntryKind::missing, "missing"}, base::EnumRow{EntryKind::directory, "directory"},
    base::EnumRow{EntryKind::file, "file"}, base::EnumRow{EntryKind::symlink, "symlink"}};

struct Entry {
    EntryKind kind = EntryKind::missing; ///< devices, sockets and FIFOs count as files
    std::string link;                    ///< where a symlink points
};

/// The image's tree. Paths are absolute and clean. Symlinks are followed as a process in the
/// container would follow them: an absolute one begins at the image's root, ".." stops there.
class ImageView {
  public:
    virtual ~ImageView() = default;
    /// What is at a path, a symlink at its end not followed and none allowed before: for the
    /// planner, which follows them itself because mounts may lie on the way.
    [[nodiscard]] virtual base::Result<Entry> lookup(const std::string& path) const = 0;
    /// Never `symlink`: `missing` when links lead nowhere or in a circle.
    [[nodiscard]] virtual EntryKind kind(const std::string& path) const = 0;
    /// Names and kinds in a directory; Code::limit_exceeded when there are more than `max`.
    [[nodiscard]] virtual base::Result<std::vector<std::pair<std::string, Entry>>>
    list(const std::string& path, std::size_t max) const = 0;
    /// A regular file of at most `max` bytes; nothing when it is missing, not regular or bigger.
    [[nodiscard]] virtual std::optional<std::string> read(const std::string& path,
                                                          std::size_t max) const = 0;
};

/// What the host has to offer for binds.
struct HostEntry {
    int handle = -1;                     ///< for HostView::descriptor()
    EntryKind kind = EntryKind::missing; ///< directory or file (symlinks are followed)
    bool device = false;                 ///< a character or block device
    bool readable = true;                ///< false: the user can neither read it nor look into it
};

class HostView {
  public:
    virtual ~HostView() = default;
    /// Opens a path with the user's rights, once: what is mounted later is what was seen here.
    /// Code::mount_source_missing with the errno and a message without the path's purpose.
    [[nodiscard]] virtual base::Result<HostEntry> open(const std::string& path) = 0;
    /// The first bytes, at most `max`, of a regular file that was opened.
    [[nodiscard]] virtual std::optional<std::string> start_of(int handle, std::size_t max) = 0;
    /// A regular file of at most `max` bytes; nothing when it is missing, not regular or bigger.
    [[nodiscard]] virtual std::optional<std::string> read(const std::string& path,
                                                          std::size_t max) = 0;
    /// Names in a directory, sorted; none when it cannot be read.
    [[nodiscard]] virtual std::vector<std::string> names(const std::string& directory) = 0;
};

/// The real image: looks below a directory descriptor (the mounted but perhaps not yet attached
/// root). Never leaves it, whatever symlinks are in there.
class MountedImage final : public ImageView {
  public:
    explicit MountedImage(int root_fd) noexcept : root_(root_fd) {}
    [[nodiscard]] base::Result<Entry> lookup(const std::string& path) const override;
    [[nodiscard]] EntryKind kind(const std::string& path) const override;
    [[nodiscard]] base::Result<std::vector<std::pair<std::string, Entry>>>
    list(const std::string& path, std::size_t max) const override;
    [[nodiscard]] std::optional<std::string> read(const std::string& path,
                                                  std::size_t max) const override;
    /// Reads a directory for what the kernel then knows without asking the image's server: one
    /// round trip in place of one for each name in it. Errors will show when somebody needs a name.
    void learn(const std::string& path) const noexcept;

  private:
    int root_; ///< borrowed
};

/// The real host: every path becomes a detached recursive clone of what is mounted there
/// (open_tree(2)), automounts included. Needs CAP_SYS_ADMIN in the namespace that owns the current
/// mount namespace.
class MountableHost : public HostView {
  public:
    [[nodiscard]] base::Result<HostEntry> open(const std::string& path) override;
    [[nodiscard]] std::optional<std::string> start_of(int handle, std::size_t max) override;
    [[nodiscard]] std::optional<std::string> read(const std::string& path,
                                                  std::size_t max) override;
    [[nodiscard]] std::vector<std::string> names(const std::string& directory) override;
    /// The clone behind a handle; still owned by this object.
    [[nodiscard]] int descriptor(int handle) const noexcept;

  private:
    std::vector<base::UniqueFd> trees_;
};

} // namespace slipway::launcher
