// SPDX-License-Identifier: Apache-2.0
#include "base/format.hpp"
#include "base/log.hpp"
#include "base/temp_dir.hpp"
#include "base/text.hpp"
#include "store/files.hpp"
#include "store/process_id.hpp"
#include "store/store.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <ctime>

namespace slipway::store {
namespace {

/// Newest change of anything directly in a work directory.
std::int64_t last_change(const std::string& path) {
    struct stat st {};
    std::int64_t newest = ::stat(path.c_str(), &st) == 0 ? st.st_mtime : 0;
    if (const auto names = list_directory(path)) {
        for (const auto& name : *names) {
            if (::lstat((path + "/" + name).c_str(), &st) == 0) {
                newest = std::max<std::int64_t>(newest, st.st_mtime);
            }
        }
    }
    return newest;
}

/// Whose a work directory is. A process killed between making it and naming itself inside has left
/// only its directory's name, "<host>.<pid>.<n>".
Liveness owner_state(const std::string& path, std::string_view name) {
    if (const auto owner = base::read_file(path + "/owner", 1024)) {
        return liveness(ProcessId::parse(*owner));
    }
    const auto parts = base::split(name, '.');
    auto self = ProcessId::self();
    if (parts.size() < 3 || !name.starts_with(self.host + ".")) {
        return Liveness::unknown;
    }
    const auto pid = base::parse_u64(parts[parts.size() - 2], INT32_MAX);
    return pid && ::kill(static_cast<pid_t>(*pid), 0) != 0 && errno == ESRCH ? Liveness::dead
                                                                             : Liveness::unknown;
}

/// When an image was last wanted: a grant lasts max_job_time from the moment it was given.
std::int64_t last_wanted(const StoredImage& image, std::uint64_t grant_seconds) {
    return std::max(image.published,
                    image.granted_until == 0
                        ? 0
                        : image.granted_until - static_cast<std::int64_t>(grant_seconds));
}

} // namespace

base::Result<void> Store::grant(const ImageId& id, std::uint32_t uid) const {
    const auto dir = directory("grants") + "/" + id;
    const auto until = ::time(nullptr) + static_cast<std::int64_t>(options_.max_job_time);
    TRY(step("grant-dir"));
    if (::mkdir(dir.c_str(), dir_mode()) != 0 && errno != EEXIST) {
        return base::fail_errno(base::Code::store_unusable, errno, "cannot grant an image");
    }
    TRY_ASSIGN(const auto names, list_directory(dir));
    const auto mine = fmt::format("{}.", uid);
    const auto wanted = fmt::format("{}.{}", uid, until);
    TRY(step("grant-write"));
    const auto file = base::open_file(dir + "/" + wanted, O_WRONLY | O_CREAT | O_NOFOLLOW, 0644);
    if (!file) {
        return base::Unexpected(base::Error{base::Code::store_unusable,
                                            file.error().sys_errno,
                                            "cannot grant an image: " + file.error().message,
                                            {}});
    }
    // The new grant is there; only now the older ones of this user go.
    for (const auto& name : names) {
        if (name.starts_with(mine) && name != wanted) {
            ::unlink((dir + "/" + name).c_str());
        }
    }
    return {};
}

base::Result<void> Store::pin(const ImageId& id) const {
    if (!find(id)) {
        return base::fail(base::Code::not_staged,
                          "image " + base::in_quotes(id) + " is not staged");
    }
    TRY_ASSIGN(auto file,
               base::open_file(directory("pins") + "/" + id, O_WRONLY | O_CREAT, file_mode()));
    return file.close();
}

base::Result<void> Store::unpin(const ImageId& id) const {
    if (::unlink((directory("pins") + "/" + id).c_str()) != 0 && errno != ENOENT) {
        return base::fail_errno(base::Code::store_unusable, errno, "cannot unpin an image");
    }
    return {};
}

base::Result<void> Store::drop(const ImageId& id) const {
    // The commit goes first: from here on nobody finds the image, and the rest is litter that fsck
    // knows how to remove. Jobs that have it open keep it.
    TRY(step("drop-image"));
    if (::unlink(image_path(id).c_str()) != 0 && errno != ENOENT) {
        return base::fail_errno(base::Code::store_unusable, errno, "cannot remove an image");
    }
    TRY(step("drop-provenance"));
    if (find(id)) {
        return {}; // published again meanwhile: the rest belongs to the new one
    }
    ::unlink((directory("images") + "/" + id + ".json").c_str());
    TRY(step("drop-grants"));
    (void)base::remove_tree(directory("grants") + "/" + id);
    ::unlink((directory("pins") + "/" + id).c_str());
    return {};
}

base::Result<void> Store::remove(const ImageId& id, bool force) const {
    const auto image = find(id);
    if (!image) {
        return base::fail(base::Code::not_staged, "image " + base::in_quotes(id) + " is not staged",
                          "`slipway images` lists what is");
    }
    if (!force && (image->pinned || image->granted_until > ::time(nullptr))) {
        return base::fail(base::Code::store_unusable,
                          "image " + id + (image->pinned ? " is pinned" : " may be in use by jobs"),
                          "remove it anyway with --force");
    }
    return drop(id);
}

base::Result<std::uint64_t> Store::usage() const {
    return tree_bytes(directory("images")) + tree_bytes(directory("tmp"));
}

base::Result<std::vector<ImageId>> Store::make_room(std::uint64_t bytes) const {
    TRY_ASSIGN(auto images, list());
    std::sort(images.begin(), images.end(), [&](const auto& a, const auto& b) {
        return last_wanted(a, options_.max_job_time) < last_wanted(b, options_.max_job_time);
    });
    TRY_ASSIGN(std::uint64_t used, usage());
    std::vector<ImageId> collected;
    const auto now = ::time(nullptr);
    auto disk_free = [&]() -> std::uint64_t {
        struct statvfs vfs {};
        return ::statvfs(options_.path.c_str(), &vfs) == 0
                   ? static_cast<std::uint64_t>(vfs.f_bavail) * vfs.f_frsize
                   : UINT64_MAX;
    };
    auto fits = [&] {
        return (options_.quota == 0 || used + bytes <= options_.quota) && disk_free() >= bytes;
    };
    for (const auto& image : images) {
        if (fits()) {
            break;
        }
        // Looked at again: it may have been granted since the list was made.
        const auto again = find(image.id);
        if (!again || again->pinned || again->granted_until > now) {
            continue;
        }
        TRY(drop(image.id));
        used -= std::min(used, image.size);
        collected.push_back(image.id);
    }
    if (options_.quota != 0 && used + bytes > options_.quota) {
        return base::fail(base::Code::quota_exceeded,
                          fmt::format("the store's quota of {} is reached: {} in use, {} needed, "
                                      "and what is left is granted to jobs or pinned",
                                      base::size_text(options_.quota), base::size_text(used),
                                      base::size_text(bytes)),
                          "wait for jobs to end, unpin images, or raise store.quota");
    }
    if (disk_free() < bytes) {
        return base::fail(base::Code::out_of_space,
                          fmt::format("the store {} has {} free, {} needed",
                                      base::in_quotes(options_.path), base::size_text(disk_free()),
                                      base::size_text(bytes)),
                          "free space there, or set store.path to a larger file system");
    }
    return collected;
}

base::Result<std::size_t> Store::sweep() const {
    TRY_ASSIGN(const auto names, list_directory(directory("tmp")));
    const auto now = server_now(directory("tmp"));
    std::size_t removed = 0;
    for (const auto& name : names) {
        const auto path = directory("tmp") + "/" + name;
        auto state = owner_state(path, name);
        if (state == Liveness::unknown && now != 0 &&
            now - last_change(path) > static_cast<std::int64_t>(options_.foreign_tmp_stale_s)) {
            state = Liveness::dead;
        }
        if (state == Liveness::dead && base::remove_tree(path)) {
            ++removed;
        }
    }
    // A holder killed behind its commit leaves a lease that nobody will ask for again.
    for (const auto& name : list_directory(directory("leases")).value_or(std::vector<std::string>())) {
        const auto path = directory("leases") + "/" + name;
        const auto holder = base::read_file(path, 1024);
        if (holder && liveness(ProcessId::parse(*holder)) == Liveness::dead &&
            ::unlink(path.c_str()) == 0) {
            ++removed;
        }
    }
    return removed;
}

} // namespace slipway::store
