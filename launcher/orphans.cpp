// SPDX-License-Identifier: Apache-2.0
#include "launcher/orphans.hpp"

#include "base/child.hpp"
#include "base/directory.hpp"

#include <fcntl.h>
#include <linux/nsfs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <charconv>
#include <csignal>
#include <cstdio>
#include <optional>
#include <string_view>

namespace slipway::launcher {
namespace {

/// Each finds what the one before has missed: a process that was being forked.
constexpr int max_rounds = 1000;

struct Namespace {
    dev_t device;
    ino_t inode;
    bool operator==(const Namespace&) const = default;
};

/// What makes a process one of the container's.
struct Container {
    Namespace mounts;
    Namespace users;
};

std::optional<Namespace> namespace_of(int proc, const char* pid, const char* name) noexcept {
    char path[64];
    std::snprintf(path, sizeof path, "%s/ns/%s", pid, name);
    struct stat about {};
    if (::fstatat(proc, path, &about, 0) != 0) {
        return std::nullopt;
    }
    return Namespace{about.st_dev, about.st_ino};
}

/// The kernel shows parents as far as the caller's own user namespace, and fails with EPERM beyond
/// it.
bool is_below(int proc, const char* pid, const Namespace& users) noexcept {
    char path[64];
    std::snprintf(path, sizeof path, "%s/ns/user", pid);
    base::UniqueFd fd(::openat(proc, path, O_RDONLY | O_CLOEXEC));
    while (fd) {
        struct stat about {};
        if (::fstat(fd.get(), &about) != 0) {
            return false;
        }
        if (Namespace{about.st_dev, about.st_ino} == users) {
            return true;
        }
        fd.reset(::ioctl(fd.get(), NS_GET_PARENT));
    }
    return false;
}

/// Known without asking for the namespaces of every process of the node.
bool belongs_to(uid_t user, int proc, const char* pid) noexcept {
    struct stat about {};
    return ::fstatat(proc, pid, &about, 0) == 0 && about.st_uid == user;
}

bool is_in(int proc, const char* pid, const Container& container) noexcept {
    const auto mounts = namespace_of(proc, pid, "mnt");
    // One that has ended and waits to be reaped has none any more.
    return mounts && (*mounts == container.mounts || is_below(proc, pid, container.users));
}

/// 0 for a name that is no pid.
pid_t pid_of(std::string_view name) noexcept {
    pid_t pid = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), pid);
    return error == std::errc() && end == name.data() + name.size() ? pid : 0;
}

/// One walk over all processes; true when it has killed any.
bool kill_once(int proc, const Container& container) noexcept {
    const pid_t own = ::getpid();
    const uid_t user = ::geteuid();
    const base::UniqueFd directory(::openat(proc, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    base::DirectoryStream processes(directory.get());
    bool killed = false;
    for (base::DirectoryStream::Item item; processes.next(item);) {
        const pid_t pid = pid_of(item.name);
        if (pid <= 0 || pid == own || !belongs_to(user, proc, item.name)) {
            continue;
        }
        // Opened before the look: a pid that has changed hands since then is not hit.
        const base::UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
        if (pidfd && is_in(proc, item.name, container)) {
            killed = base::signal_pidfd(pidfd.get(), SIGKILL) || killed;
        }
    }
    return killed;
}

} // namespace

void kill_container_processes(int proc) noexcept {
    const auto mounts = namespace_of(proc, "self", "mnt");
    const auto users = namespace_of(proc, "self", "user");
    if (!mounts || !users) {
        return;
    }
    const Container ours{*mounts, *users};
    for (int round = 0; round < max_rounds && kill_once(proc, ours); ++round) {
        ::usleep(1000); // the killed need a moment to be gone
    }
}

} // namespace slipway::launcher
