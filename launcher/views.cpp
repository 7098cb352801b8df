// SPDX-License-Identifier: Apache-2.0
#include "launcher/views.hpp"

#include "base/directory.hpp"
#include "base/format.hpp"
#include "base/path.hpp"
#include "base/text.hpp"
#include "launcher/mount_calls.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>

namespace slipway::launcher {
namespace {

using base::Code;
using base::fail;
using base::fail_errno;
using base::in_quotes;
using base::Result;
using base::UniqueFd;

EntryKind kind_of(mode_t mode) noexcept {
    return S_ISDIR(mode)   ? EntryKind::directory
           : S_ISLNK(mode) ? EntryKind::symlink
                           : EntryKind::file;
}

/// "/" becomes ".": openat2 takes a path below the directory descriptor.
std::string relative(const std::string& path) {
    return path.size() <= 1 ? "." : path.substr(1);
}

Result<UniqueFd> open_strictly(int root, const std::string& path, std::uint64_t flags) {
    return base::open_resolved(root, relative(path), flags | O_NOFOLLOW,
                               RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
}

/// As a process in the container would: /etc/passwd is a symlink in images of some builders.
Result<UniqueFd> open_followed(int root, const std::string& path, int flags) {
    return base::open_in_root(root, relative(path), flags);
}

Result<std::string> read_link(int dir, const char* name) {
    char buffer[PATH_MAX];
    const ssize_t length = ::readlinkat(dir, name, buffer, sizeof buffer);
    if (length < 0) {
        return fail_errno(Code::io, errno,
                          fmt::format("cannot read the symlink {}", in_quotes(name)));
    }
    return std::string(buffer, static_cast<std::size_t>(length));
}

/// For files of unknown kind: neither waits for a FIFO's other end nor becomes a terminal's owner.
constexpr int content_flags = O_RDONLY | O_NONBLOCK | O_NOCTTY;

bool is_regular(const Result<UniqueFd>& fd) noexcept {
    struct stat st {};
    return fd && ::fstat(fd->get(), &st) == 0 && S_ISREG(st.st_mode);
}

std::optional<std::string> content_of(const Result<UniqueFd>& fd, std::size_t max) {
    auto content = is_regular(fd) ? base::read_to_end(fd->get(), max)
                                  : Result<std::string>(fail(Code::io, "not a regular file"));
    return content ? std::optional(std::move(*content)) : std::nullopt;
}

/// The user's own rights, without the capabilities that this process has for mounting.
bool user_may(int fd, int mode) noexcept {
    return ::syscall(SYS_faccessat2, fd, "", mode, AT_EMPTY_PATH) == 0;
}

} // namespace

Result<Entry> MountedImage::lookup(const std::string& path) const {
    auto fd = open_strictly(root_, path, O_PATH);
    if (!fd) {
        const int err = fd.error().sys_errno;
        if (err == ENOENT || err == ENOTDIR) {
            return Entry{};
        }
        return base::Unexpected(std::move(fd).error().context("looking into the image"));
    }
    struct stat st {};
    if (::fstat(fd->get(), &st) != 0) {
        return fail_errno(Code::io, errno,
                          fmt::format("cannot look at {} in the image", in_quotes(path)));
    }
    Entry entry{kind_of(st.st_mode), {}};
    if (entry.kind == EntryKind::symlink) {
        TRY_ASSIGN(entry.link, read_link(fd->get(), ""));
    }
    return entry;
}

EntryKind MountedImage::kind(const std::string& path) const {
    const auto fd = open_followed(root_, path, O_PATH);
    struct stat st {};
    return fd && ::fstat(fd->get(), &st) == 0 ? kind_of(st.st_mode) : EntryKind::missing;
}

Result<std::vector<std::pair<std::string, Entry>>> MountedImage::list(const std::string& path,
                                                                      std::size_t max) const {
    TRY_ASSIGN(const auto directory, open_followed(root_, path, O_PATH | O_DIRECTORY));
    auto listed = base::list_directory(directory.get(), max);
    if (!listed) {
        return base::Unexpected(
            std::move(listed).error().context(fmt::format("{} in the image", in_quotes(path))));
    }
    std::vector<std::pair<std::string, Entry>> names;
    for (auto& [name, type] : *listed) {
        struct stat st {};
        st.st_mode = DTTOIF(type);
        if (type == DT_UNKNOWN &&
            ::fstatat(directory.get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) {
            return fail_errno(Code::io, errno,
                              fmt::format("cannot look at {} in {} of the image", in_quotes(name),
                                          in_quotes(path)));
        }
        Entry entry{kind_of(st.st_mode), {}};
        if (entry.kind == EntryKind::symlink) {
            TRY_ASSIGN(entry.link, read_link(directory.get(), name.c_str()));
        }
        names.emplace_back(std::move(name), std::move(entry));
    }
    std::sort(names.begin(), names.end(),
              [](const auto& a, const auto& b) { return a.first < b.first; });
    return names;
}

std::optional<std::string> MountedImage::read(const std::string& path, std::size_t max) const {
    return content_of(open_followed(root_, path, content_flags), max);
}

void MountedImage::learn(const std::string& path) const noexcept {
    const auto fd = open_strictly(root_, path, O_RDONLY | O_DIRECTORY);
    if (fd) {
        // One call gets the names of a usual directory; others are looked up one by one.
        base::DirectoryStream::Item first;
        (void)base::DirectoryStream(fd->get()).next(first);
    }
}

Result<HostEntry> MountableHost::open(const std::string& path) {
    auto tree = clone_tree(path);
    if (!tree) {
        return base::Unexpected(std::move(tree).error());
    }
    struct stat st {};
    if (::fstat(tree->get(), &st) != 0) {
        return fail_errno(Code::mount_source_missing, errno,
                          fmt::format("cannot look at {}", in_quotes(path)));
    }
    HostEntry entry;
    entry.kind = kind_of(st.st_mode);
    entry.device = S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode);
    // A directory that may only be passed through, or a file that may only be written or run, is
    // still of use; one with which nothing can be done is a mistake that should be reported at
    // once.
    entry.readable =
        user_may(tree->get(), R_OK) || user_may(tree->get(), X_OK) || user_may(tree->get(), W_OK);
    entry.handle = static_cast<int>(trees_.size());
    trees_.push_back(std::move(*tree));
    return entry;
}

std::optional<std::string> MountableHost::start_of(int handle, std::size_t max) {
    // The clone is a descriptor for mounting; this is the same file, for reading.
    const auto fd =
        base::open_file(fmt::format("/proc/self/fd/{}", descriptor(handle)), content_flags);
    if (!is_regular(fd)) {
        return std::nullopt;
    }
    std::string bytes(max, '\0');
    const ssize_t count = ::pread(fd->get(), bytes.data(), bytes.size(), 0);
    if (count < 0) {
        return std::nullopt;
    }
    bytes.resize(static_cast<std::size_t>(count));
    return bytes;
}

std::optional<std::string> MountableHost::read(const std::string& path, std::size_t max) {
    return content_of(base::open_file(path, content_flags), max);
}

std::vector<std::string> MountableHost::names(const std::string& directory) {
    constexpr std::size_t max_names = 100'000;
    auto names = base::names_in(directory, max_names);
    if (!names) {
        return {};
    }
    std::sort(names->begin(), names->end());
    return std::move(*names);
}

int MountableHost::descriptor(int handle) const noexcept {
    return handle >= 0 && static_cast<std::size_t>(handle) < trees_.size()
               ? trees_[static_cast<std::size_t>(handle)].get()
               : -1;
}

} // namespace slipway::launcher
