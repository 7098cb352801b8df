// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/fd.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// The kernel's file-descriptor mount calls (Linux 5.12 or later) with errors that say what failed.
/// All need CAP_SYS_ADMIN in the user namespace that owns the mount namespace.
namespace slipway::launcher {

/// open_tree(2): a detached recursive copy of what is mounted at `path`, symlinks followed and
/// automounts triggered. Code::mount_source_missing.
base::Result<base::UniqueFd> clone_tree(const std::string& path);
/// The same for something that is open already (O_PATH is enough). Code::mount_failed.
base::Result<base::UniqueFd> clone_tree(int fd, std::string_view what);

struct MountFlags {
    bool readonly = false;
    bool nodev = true;
    bool noexec = false;
    bool private_propagation = false; ///< else the mounts become slaves: host mounts appear
};
/// mount_setattr(2) on a whole tree: these flags and always nosuid.
base::Result<void> restrict_tree(int tree_fd, const MountFlags& flags, std::string_view what);
/// Makes one mount, not what is mounted below it, read-only.
base::Result<void> make_readonly(int mount_fd, std::string_view what);

/// A new file system, mounted but not attached; nosuid,nodev and the given flags. `settings` go to
/// fsconfig(2) in order, an empty value sets a flag. Code::mount_failed (the kernel's own message
/// is added); Code::unsupported when the kernel lacks these calls.
base::Result<base::UniqueFd>
new_filesystem(const std::string& type,
               const std::vector<std::pair<std::string, std::string>>& settings,
               const MountFlags& flags);

/// Settings of a tmpfs of `size` bytes; 0: the kernel's own limit, half of the memory.
std::vector<std::pair<std::string, std::string>> tmpfs_settings(std::uint32_t mode,
                                                                std::uint64_t size);

/// move_mount(2): attaches a detached mount on what `target_fd` (O_PATH) stands for.
base::Result<void> attach(int mount_fd, int target_fd, std::string_view what);

/// Makes the mount `root_fd` the root of the mount namespace and takes the old root away; the
/// current directory is "/" afterwards.
base::Result<void> change_root(int root_fd);

} // namespace slipway::launcher
