// SPDX-License-Identifier: Apache-2.0
#include "store/root.hpp"

#include "base/errno_code.hpp"
#include "base/format.hpp"
#include "base/owned_file.hpp"
#include "base/path.hpp"
#include "base/text.hpp"
#include "store/files.hpp"
#include "store/walk.hpp"

#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <unistd.h>

namespace slipway::store {
namespace {

using base::Code;

constexpr const char* choose_another = "name an empty or a new directory: SLIPWAY_CACHEDIR, "
                                       "store.user_path or store.path";
constexpr std::size_t max_mark_bytes = 4096;

base::Unexpected no_store(const std::string& path, const std::string& what) {
    return base::fail(Code::store_unusable,
                      fmt::format("{} cannot become a store: {}", base::in_quotes(path), what),
                      choose_another);
}

bool is_part(std::string_view name) {
    return std::find(part_names.begin(), part_names.end(), name) != part_names.end();
}

bool is_empty(int dir, const std::string& name) {
    const auto inner = base::open_at(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    const auto inside = inner ? entries(inner->get()) : base::Result<std::vector<Entry>>();
    return inner && inside && inside->empty();
}

/// What is no obstacle: what file systems put into their own top directory, and what a maker that was
/// killed leaves.
bool is_nothing(int root, const Entry& entry, uid_t owner) {
    const bool dir = S_ISDIR(entry.facts.st_mode);
    if (is_of_file_system(entry)) {
        return true;
    }
    if (entry.facts.st_uid != owner) {
        return false;
    }
    return dir ? is_part(entry.name) && is_empty(root, entry.name)
               : S_ISREG(entry.facts.st_mode) && is_unfinished_mark(entry.name);
}

/// The same directory, opened to be listed.
base::Result<base::UniqueFd> readable(int root, const std::string& path, int flags) {
    auto dir = base::open_at(root, ".", flags | O_DIRECTORY);
    if (!dir) {
        const int err = dir.error().sys_errno;
        return base::fail_errno(Code::store_unusable, err,
                                "cannot look into the store " + base::in_quotes(path),
                                cure_of(err));
    }
    return dir;
}

} // namespace

const char* cure_of(int err) noexcept {
    switch (err) {
    case EACCES:
    case EPERM:
        return "the store's owner must be able to read and write it: run `chmod u+rwx` on it and on the "
               "directories in it, or name another one (SLIPWAY_CACHEDIR, store.user_path, store.path)";
    case EROFS:
        return "its file system is mounted read-only: name another store (SLIPWAY_CACHEDIR, "
               "store.user_path or store.path)";
    case ENOSPC:
    case EDQUOT:
        return "free space there, or name a larger store (SLIPWAY_CACHEDIR, store.user_path or "
               "store.path)";
    default:
        return "check that the store's file system is there and writable";
    }
}

base::Error of_store(base::Error error, const std::string& path) {
    if (error.sys_errno == 0) {
        return error;
    }
    if (error.code == Code::io) {
        error.code = base::code_of_errno(error.sys_errno, Code::store_unusable);
    }
    if (error.message.find(path) == std::string::npos) {
        (void)std::move(error).context("in the store " + base::in_quotes(path)); // in place
    }
    if (error.hint.empty()) {
        error.hint = cure_of(error.sys_errno);
    }
    return error;
}

base::Result<base::UniqueFd> Root::checked(base::UniqueFd dir, const std::string& path) const {
    struct stat facts {};
    if (::fstat(dir.get(), &facts) != 0) {
        return base::fail_errno(Code::store_unusable, errno,
                                "cannot look at " + base::in_quotes(path));
    }
    if (const auto fault = base::owner_fault(facts, owner_); !fault.empty()) {
        return base::fail(Code::store_unusable,
                          fmt::format("the store {} {}", base::in_quotes(path), fault),
                          facts.st_uid != owner_ ? "stage as the store's owner, through the service, "
                                                   "or use your own store"
                                                 : "run `chmod go-w` on it");
    }
    return dir;
}

base::Result<base::UniqueFd> Root::inner(int dir, const std::string& name, int flags) const {
    auto opened = base::open_owned(dir, name, flags | O_DIRECTORY, owner_,
                                   base::join_path(path_, name), Code::store_unusable);
    if (!opened) {
        opened.error().code = Code::store_unusable;
        if (opened.error().hint.empty() && opened.error().sys_errno != ENOENT) {
            opened.error().hint = cure_of(opened.error().sys_errno);
        }
    }
    return opened;
}

base::Result<base::UniqueFd> Root::directory(int flags) const {
    TRY_ASSIGN(auto root, walk_to(path_, owner_, std::nullopt));
    TRY_ASSIGN(root, checked(std::move(root), path_));
    struct stat facts {};
    // Who may rename above the store may have put another directory of its owner in its place.
    const bool known = access_ == Access::read_only ||
                       ::fstatat(root.get(), mark_name, &facts, AT_SYMLINK_NOFOLLOW) == 0;
    if (!known && errno != ENOENT) {
        return base::fail_errno(Code::store_unusable, errno,
                                "cannot use the store " + base::in_quotes(path_), cure_of(errno));
    }
    if (access_ != Access::read_only &&
        (!known || !S_ISREG(facts.st_mode) || facts.st_uid != owner_)) {
        return base::fail(Code::store_unusable,
                          fmt::format("the directory {} is no store any more: its {} is gone",
                                      base::in_quotes(path_), mark_name),
                          "try again; if it was removed, restart what works in it");
    }
    return (flags & O_PATH) != 0 ? base::Result<base::UniqueFd>(std::move(root))
                                 : readable(root.get(), path_, flags);
}

base::Result<base::UniqueFd> Root::part(Part part, int flags) const {
    const auto open_part = [&]() -> base::Result<base::UniqueFd> {
        TRY_ASSIGN(const auto root, directory(O_PATH));
        return inner(root.get(), name_of(part), flags);
    };
    auto opened = open_part();
    if (!opened && opened.error().sys_errno == ESTALE) {
        // An NFS client remembers a directory that was removed and made anew by another host.
        base::ask_server_about(path_);
        opened = open_part();
    }
    return opened;
}

base::Result<bool> Root::has_mark(int root) const {
    auto text = read_plain(root, mark_name, max_mark_bytes, owner_);
    if (!text && text.error().sys_errno == ENOENT) {
        return false;
    }
    if (!text && text.error().sys_errno != 0) {
        return base::Unexpected(of_store(
            base::Error{Code::store_unusable, text.error().sys_errno, text.error().message, {}},
            path_));
    }
    if (!text && text.error().code == Code::store_unusable) {
        return no_store(path_, std::move(text.error().message));
    }
    if (!text || !text->starts_with(mark_line)) { // also when it is longer than any mark
        return no_store(path_, fmt::format("its {} is of another version, or of something else",
                                           mark_name));
    }
    return true;
}

base::Result<void> Root::write_mark(int root) const {
    const auto text =
        fmt::format("{}The images here are made and removed by slipway: see `slipway help cache`.\n"
                    "It removes only what it made.\n",
                    mark_line);
    const auto done = write_new_file(root, mark_name, text, file_mode(),
                                     {root, unfinished_mark(::getpid())});
    if (!done && done.error().sys_errno != EEXIST) { // EEXIST: made at the same time by another
        return base::Unexpected(base::Error{
            base::code_of_errno(done.error().sys_errno, Code::store_unusable),
            done.error().sys_errno,
            "cannot make a store of " + base::in_quotes(path_) + ": " + done.error().message,
            cure_of(done.error().sys_errno)});
    }
    return {};
}

/// A store of a version before the mark holds something that only we name so, whatever part of it has
/// been removed since; empty ones are like new directories, and need no look here.
bool Root::is_older_store(int root) const {
    bool ours = false;
    for (const auto each : parts) {
        const auto dir = inner(root, name_of(each), O_RDONLY);
        if (!dir && dir.error().sys_errno == ENOENT) {
            continue;
        }
        const auto listed = dir ? entries(dir->get()) : base::Result<std::vector<Entry>>();
        if (!dir || !listed) {
            return false;
        }
        for (const auto& entry : *listed) {
            // "run.1.2" below tmp/ proves nothing; an image id does.
            ours = ours || (each != Part::tmp && is_written(each, entry, owner_));
        }
    }
    return ours;
}

/// Decides whether the directory is a store, or may become one; writes the mark where it is missing.
base::Result<void> Root::adopt(int root) {
    TRY_ASSIGN(bool marked, has_mark(root));
    if (marked) {
        return {};
    }
    // Listing asks the server: the mark may be there by now.
    TRY_ASSIGN(const auto listed_dir, readable(root, path_, O_RDONLY));
    TRY_ASSIGN(const auto listed, entries(listed_dir.get()));
    TRY_ASSIGN(marked, has_mark(root));
    const auto foreign = std::find_if(listed.begin(), listed.end(), [&](const Entry& entry) {
        return !is_nothing(root, entry, owner_);
    });
    if (!marked && foreign != listed.end() && !is_older_store(root)) {
        return no_store(path_, fmt::format("it holds {} and was not made by slipway",
                                           base::in_quotes(foreign->name)));
    }
    if (marked || access_ == Access::read_only) {
        return {};
    }
    TRY(write_mark(root));
    marked_now_ = std::any_of(listed.begin(), listed.end(), [](const Entry& entry) {
        return S_ISDIR(entry.facts.st_mode) && is_part(entry.name);
    });
    return {};
}

base::Result<void> Root::make_parts(int root) const {
    for (const auto each : parts) {
        const auto* name = name_of(each);
        auto found = inner(root, name, O_PATH);
        if (found) {
            continue;
        }
        if (found.error().sys_errno != ENOENT) {
            return base::Unexpected(std::move(found.error()));
        }
        if (::mkdirat(root, name, dir_mode()) == 0) {
            // The caller's umask does not decide who may read a shared store.
            (void)!::fchmodat(root, name, dir_mode(), 0);
        } else if (errno != EEXIST) {
            return base::fail_errno(base::code_of_errno(errno, Code::store_unusable), errno,
                                    "cannot create " + base::in_quotes(base::join_path(path_, name)),
                                    cure_of(errno));
        }
        TRY(inner(root, name, O_PATH));
    }
    return {};
}

base::Result<Root> Root::open(const std::string& path, Access access) {
    Root store(path, access);
    store.owner_ = ::geteuid();
    const bool writes = access != Access::read_only;
    // By path, so that the kernel looks up again what an NFS client remembers and the server has no
    // more; what is opened component by component below would be stale.
    base::ask_server_about(path);
    TRY_ASSIGN(auto root, walk_to(path, writes ? std::optional(store.owner_) : std::nullopt,
                                  writes ? std::optional(store.dir_mode()) : std::nullopt));
    if (!writes) {
        struct stat facts {};
        if (::fstat(root.get(), &facts) != 0) {
            return base::fail_errno(Code::store_unusable, errno,
                                    "cannot look at " + base::in_quotes(path));
        }
        store.owner_ = facts.st_uid;
    }
    TRY_ASSIGN(root, store.checked(std::move(root), path));
    TRY(store.adopt(root.get()));
    if (writes) {
        TRY(store.make_parts(root.get()));
    }
    return store;
}

} // namespace slipway::store
