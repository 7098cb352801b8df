// SPDX-License-Identifier: Apache-2.0
#include "launcher/mount_calls.hpp"

#include "base/format.hpp"
#include "base/text.hpp"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace slipway::launcher {
namespace {

using base::Code;
using base::fail_errno;
using base::in_quotes;
using base::Result;
using base::UniqueFd;

constexpr const char* old_kernel_hint = "Slipway needs Linux 5.12 or later";

base::Unexpected mount_failure(int err, const std::string& message) {
    if (err == ENOSYS) {
        return fail_errno(Code::unsupported, err, message, old_kernel_hint);
    }
    return fail_errno(Code::mount_failed, err, message);
}

/// The file system's own message about a failed fsconfig, "" if there is none.
std::string kernel_message(int context) {
    char line[256];
    const ssize_t got = ::read(context, line, sizeof line);
    if (got <= 2) {
        return {};
    }
    const std::string_view text(line, static_cast<std::size_t>(got));
    return fmt::format(" ({})",
                       base::printable(base::trim(base::split(text.substr(2), '\n').front())));
}

} // namespace

Result<UniqueFd> clone_tree(const std::string& path) {
    const int fd =
        ::open_tree(AT_FDCWD, path.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
    if (fd >= 0) {
        return UniqueFd(fd);
    }
    if (errno == ENOSYS) {
        return fail_errno(Code::unsupported, errno, "cannot bind directories", old_kernel_hint);
    }
    return fail_errno(Code::mount_source_missing, errno,
                      fmt::format("cannot open {}", in_quotes(path)));
}

Result<UniqueFd> clone_tree(int fd, std::string_view what) {
    const int tree = ::open_tree(
        fd, "",
        static_cast<unsigned>(OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE | AT_EMPTY_PATH));
    if (tree >= 0) {
        return UniqueFd(tree);
    }
    return mount_failure(errno, fmt::format("cannot copy the mount of {}", in_quotes(what)));
}

Result<void> restrict_tree(int tree_fd, const MountFlags& flags, std::string_view what) {
    mount_attr attr{};
    attr.attr_set = MOUNT_ATTR_NOSUID;
    if (flags.readonly) {
        attr.attr_set |= MOUNT_ATTR_RDONLY;
    }
    if (flags.nodev) {
        attr.attr_set |= MOUNT_ATTR_NODEV;
    }
    if (flags.noexec) {
        attr.attr_set |= MOUNT_ATTR_NOEXEC;
    }
    attr.propagation = flags.private_propagation ? MS_PRIVATE : MS_SLAVE;
    if (::mount_setattr(tree_fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof attr) == 0) {
        return {};
    }
    return mount_failure(errno, fmt::format("cannot restrict the mount of {}", in_quotes(what)));
}

Result<void> make_readonly(int mount_fd, std::string_view what) {
    mount_attr attr{};
    attr.attr_set = MOUNT_ATTR_RDONLY;
    if (::mount_setattr(mount_fd, "", AT_EMPTY_PATH, &attr, sizeof attr) == 0) {
        return {};
    }
    return mount_failure(errno, fmt::format("cannot make {} read-only", in_quotes(what)));
}

Result<UniqueFd> new_filesystem(const std::string& type,
                                const std::vector<std::pair<std::string, std::string>>& settings,
                                const MountFlags& flags) {
    const UniqueFd context(::fsopen(type.c_str(), FSOPEN_CLOEXEC));
    if (!context) {
        return mount_failure(errno, fmt::format("cannot use the file system {}", type));
    }
    for (const auto& [key, value] : settings) {
        const bool flag = value.empty();
        if (::fsconfig(context.get(), flag ? FSCONFIG_SET_FLAG : FSCONFIG_SET_STRING, key.c_str(),
                       flag ? nullptr : value.c_str(), 0) != 0) {
            const int err = errno;
            return mount_failure(err, fmt::format("cannot set {} of the file system {}{}", key,
                                                  type, kernel_message(context.get())));
        }
    }
    if (::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
        const int err = errno;
        return mount_failure(err, fmt::format("cannot make the file system {}{}", type,
                                              kernel_message(context.get())));
    }
    unsigned attributes = MOUNT_ATTR_NOSUID;
    attributes |= flags.nodev ? MOUNT_ATTR_NODEV : 0U;
    attributes |= flags.readonly ? MOUNT_ATTR_RDONLY : 0U;
    attributes |= flags.noexec ? MOUNT_ATTR_NOEXEC : 0U;
    const int mount = ::fsmount(context.get(), FSMOUNT_CLOEXEC, attributes);
    if (mount < 0) {
        const int err = errno;
        return mount_failure(err, fmt::format("cannot mount the file system {}{}", type,
                                              kernel_message(context.get())));
    }
    return UniqueFd(mount);
}

std::vector<std::pair<std::string, std::string>> tmpfs_settings(std::uint32_t mode,
                                                                std::uint64_t size) {
    std::vector<std::pair<std::string, std::string>> settings{{"source", "slipway"},
                                                              {"mode", fmt::format("{:o}", mode)}};
    if (size != 0) {
        settings.emplace_back("size", std::to_string(size));
    }
    return settings;
}

Result<void> attach(int mount_fd, int target_fd, std::string_view what) {
    if (::move_mount(mount_fd, "", target_fd, "",
                     MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) == 0) {
        return {};
    }
    return mount_failure(errno, fmt::format("cannot mount on {}", in_quotes(what)));
}

Result<void> change_root(int root_fd) {
    // pivot_root(".", ".") puts the old root on top of the new one, from where it is taken away.
    if (::fchdir(root_fd) != 0 || ::syscall(SYS_pivot_root, ".", ".") != 0 ||
        ::umount2(".", MNT_DETACH) != 0 || ::chdir("/") != 0) {
        return mount_failure(errno, "cannot change the root directory");
    }
    return {};
}

} // namespace slipway::launcher
