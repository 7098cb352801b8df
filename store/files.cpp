// SPDX-License-Identifier: Apache-2.0
#include "store/files.hpp"

#include "base/directory.hpp"
#include "base/errno_code.hpp"
#include "base/format.hpp"
#include "base/owned_file.hpp"
#include "base/text.hpp"

#include <cerrno>

#include <fcntl.h>
#include <linux/openat2.h>
#include <unistd.h>

namespace slipway::store {
namespace {

constexpr int directory_flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK;

/// Directories in directories that a walk goes down: more cannot be ours.
constexpr int max_depth = 32;
constexpr pid_t clock_tries = 16; ///< names that may be taken before the clock is given up

} // namespace

base::Result<std::vector<Entry>> entries(int dir) {
    TRY_ASSIGN(const auto listed, base::list_directory(dir));
    std::vector<Entry> found;
    found.reserve(listed.size());
    for (const auto& each : listed) {
        Entry entry{each.name, {}};
        if (!each.name.starts_with(".nfs") &&
            ::fstatat(dir, each.name.c_str(), &entry.facts, AT_SYMLINK_NOFOLLOW) == 0) {
            found.push_back(std::move(entry));
        }
    }
    return found;
}

bool is_of_file_system(const Entry& entry) {
    return S_ISDIR(entry.facts.st_mode) && entry.facts.st_uid == 0 &&
           (entry.name == "lost+found" || entry.name == ".snapshot");
}

bool is_written(Part part, const Entry& entry, uid_t owner) {
    return entry.facts.st_uid == owner && is_written_name(part, entry.name, entry.facts.st_mode);
}

std::int64_t server_now(int dir) {
    // Only a file that is new is written and removed. A name that is taken, by whatever, is left
    // alone: the next number will do, whosever process it is.
    for (pid_t number = ::getpid(); number < ::getpid() + clock_tries; ++number) {
        const auto probe = clock_name(number);
        const auto file = base::open_at(dir, probe, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
        if (file) {
            struct stat facts {};
            const bool known = ::fstat(file->get(), &facts) == 0;
            ::unlinkat(dir, probe.c_str(), 0);
            return known ? facts.st_mtime : 0;
        }
        if (file.error().sys_errno != EEXIST) {
            break;
        }
    }
    return 0;
}

base::Result<std::string> read_plain(int dir, const std::string& name, std::size_t max,
                                     uid_t owner) {
    TRY_ASSIGN(const auto file,
               base::open_owned(dir, name, O_RDONLY, owner, name, base::Code::store_unusable));
    return base::read_to_end(file.get(), max);
}

base::Result<void> write_new_file(int dir, const std::string& name, std::string_view content,
                                  mode_t mode, const Unfinished& unfinished) {
    auto write = [&]() -> base::Result<void> {
        TRY_ASSIGN(auto file, base::open_at(unfinished.dir, unfinished.name,
                                            O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode));
        TRY(base::write_all(file.get(), content));
        if (::fchmod(file.get(), mode) != 0 || ::fsync(file.get()) != 0) {
            return base::fail_write(errno, "cannot save " + base::in_quotes(name));
        }
        struct stat ours {};
        struct stat there {};
        (void)!::fstat(file.get(), &ours);
        TRY(file.close());
        if (::linkat(unfinished.dir, unfinished.name.c_str(), dir, name.c_str(), 0) == 0) {
            return {};
        }
        const int err = errno;
        // NFS may have done it and lost the reply.
        const bool done = err == EEXIST &&
                          ::fstatat(dir, name.c_str(), &there, AT_SYMLINK_NOFOLLOW) == 0 &&
                          ours.st_ino == there.st_ino && ours.st_dev == there.st_dev;
        return done ? base::Result<void>()
                    : base::fail_write(err, "cannot publish " + base::in_quotes(name));
    };
    auto result = write();
    ::unlinkat(unfinished.dir, unfinished.name.c_str(), 0);
    return result;
}

base::Result<void> sync_fd(int fd, const std::string& path) {
    if (::fsync(fd) != 0 && errno != EINVAL) {
        return base::fail_write(errno, "cannot sync " + base::in_quotes(path));
    }
    return {};
}

bool remove_plain(int dir, const std::string& name, uid_t owner) {
    struct stat facts {};
    if (::fstatat(dir, name.c_str(), &facts, AT_SYMLINK_NOFOLLOW) != 0) {
        return false;
    }
    if (!S_ISREG(facts.st_mode) || facts.st_uid != owner) {
        errno = EPERM;
        return false;
    }
    return ::unlinkat(dir, name.c_str(), 0) == 0;
}

base::Result<base::UniqueFd> open_work(int tmp, const std::string& name, uid_t owner) {
    auto dir = base::open_resolved(tmp, name, directory_flags,
                                   RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
    if (!dir) {
        const int err = dir.error().sys_errno;
        return err == EXDEV ? base::fail(base::Code::store_unusable,
                                         "something else is mounted there")
                            : std::move(dir);
    }
    struct stat facts {};
    if (::fstat(dir->get(), &facts) != 0 || facts.st_uid != owner) {
        return base::fail(base::Code::store_unusable,
                          fmt::format("belongs to user {}", facts.st_uid));
    }
    return dir;
}

base::Result<void> remove_work(int tmp, const std::string& name, uid_t owner) {
    const auto dir = open_work(tmp, name, owner);
    if (!dir) {
        return dir.error().sys_errno == ENOENT ? base::Result<void>()
                                               : base::Unexpected(dir.error());
    }
    TRY_ASSIGN(const auto inside, entries(dir->get()));
    for (const auto& entry : inside) {
        if (!S_ISREG(entry.facts.st_mode) || entry.facts.st_uid != owner ||
            !is_work_content(entry.name)) {
            return base::fail(base::Code::store_unusable,
                              "it holds " + base::in_quotes(entry.name) + ", which is not ours");
        }
    }
    for (const auto& entry : inside) {
        if (::unlinkat(dir->get(), entry.name.c_str(), 0) != 0 && errno != ENOENT) {
            return base::fail_errno(base::Code::io, errno,
                                    "cannot remove " + base::in_quotes(entry.name));
        }
    }
    if (::unlinkat(tmp, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) {
        return base::fail_errno(base::Code::io, errno, "cannot remove " + base::in_quotes(name));
    }
    return {};
}

namespace {

std::uint64_t bytes_below(int dir, int depth) {
    std::uint64_t sum = 0;
    const auto listed = entries(dir);
    if (!listed || depth > max_depth) {
        return 0;
    }
    for (const auto& entry : *listed) {
        if (S_ISREG(entry.facts.st_mode)) {
            // Blocks, not length: a sparse or just created file takes what it takes.
            sum += static_cast<std::uint64_t>(entry.facts.st_blocks) * 512;
        } else if (S_ISDIR(entry.facts.st_mode)) {
            if (const auto inner = base::open_at(dir, entry.name, directory_flags)) {
                sum += bytes_below(inner->get(), depth + 1);
            }
        }
    }
    return sum;
}

} // namespace

std::uint64_t tree_bytes(int dir) {
    return bytes_below(dir, 0);
}

} // namespace slipway::store
