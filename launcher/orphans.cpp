// SPDX-License-Identifier: Apache-2.0
#include "launcher/orphans.hpp"

#include "base/fd.hpp"
#include "base/text.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <climits>
#include <csignal>
#include <cstdio>
#include <memory>
#include <optional>

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

/// The kernel shows parents as far as the caller's own user namespace, and says EPERM beyond it.
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

bool is_ours(int proc, const char* pid, const Container& container) noexcept {
    // The owner is known without asking for the namespaces of every process of the node.
    struct stat about {};
    if (::fstatat(proc, pid, &about, 0) != 0 || about.st_uid != ::geteuid()) {
        return false;
    }
    const auto mounts = namespace_of(proc, pid, "mnt");
    // One that has ended and waits to be reaped has none any more.
    return mounts && (*mounts == container.mounts || is_below(proc, pid, container.users));
}

struct CloseDirectory {
    void operator()(DIR* directory) const noexcept { ::closedir(directory); }
};

/// One walk over all processes; true when it has killed any.
bool kill_once(int proc, const Container& container) noexcept {
    const std::unique_ptr<DIR, CloseDirectory> directory(
        ::fdopendir(::openat(proc, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)));
    bool killed = false;
    while (const dirent* entry = directory ? ::readdir(directory.get()) : nullptr) {
        const auto pid = base::parse_u64(entry->d_name, INT_MAX);
        if (!pid || static_cast<pid_t>(*pid) == ::getpid()) {
            continue;
        }
        // A pid that changes hands in between would have to be one of the same user's.
        if (is_ours(proc, entry->d_name, container)) {
            killed = ::kill(static_cast<pid_t>(*pid), SIGKILL) == 0 || killed;
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
