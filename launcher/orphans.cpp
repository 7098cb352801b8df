// SPDX-License-Identifier: Apache-2.0
#include "launcher/orphans.hpp"

#include "base/text.hpp"

#include <dirent.h>
#include <fcntl.h>
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

std::optional<Namespace> mount_namespace(int proc, const char* pid) noexcept {
    char path[64];
    std::snprintf(path, sizeof path, "%s/ns/mnt", pid);
    struct stat about {};
    if (::fstatat(proc, path, &about, 0) != 0) {
        return std::nullopt;
    }
    return Namespace{about.st_dev, about.st_ino};
}

struct CloseDirectory {
    void operator()(DIR* directory) const noexcept { ::closedir(directory); }
};

/// One walk over all processes; true when it has killed any.
bool kill_once(int proc, const Namespace& ours) noexcept {
    const std::unique_ptr<DIR, CloseDirectory> directory(
        ::fdopendir(::openat(proc, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)));
    bool killed = false;
    while (const dirent* entry = directory ? ::readdir(directory.get()) : nullptr) {
        const auto pid = base::parse_u64(entry->d_name, INT_MAX);
        if (!pid || static_cast<pid_t>(*pid) == ::getpid()) {
            continue;
        }
        // A pid that changes hands in between would have to be one of the same user's.
        if (mount_namespace(proc, entry->d_name) == ours) {
            killed = ::kill(static_cast<pid_t>(*pid), SIGKILL) == 0 || killed;
        }
    }
    return killed;
}

} // namespace

void kill_namespace_mates(int proc) noexcept {
    const auto ours = mount_namespace(proc, "self");
    for (int round = 0; ours && round < max_rounds && kill_once(proc, *ours); ++round) {
        ::usleep(1000); // the killed need a moment to be gone
    }
}

} // namespace slipway::launcher
