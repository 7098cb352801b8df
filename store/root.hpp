// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/fd.hpp"
#include "base/result.hpp"
#include "store/layout.hpp"

#include <string>

#include <sys/stat.h>
#include <sys/types.h>

namespace slipway::store {

enum class Access {
    read_only,    ///< never creates or changes anything (jobs, `images`, other users)
    shared,       ///< world-readable: directories 0755, images 0644
    private_user, ///< one user's own: directories 0700, images 0600
};

/// The directory of a store and the way into it. Nothing is kept open: a store's file system can be
/// unmounted between two calls, and is looked at anew in each. Every directory is opened by
/// descriptor beneath the root, follows no links, and must belong to the store's owner and be
/// writable for nobody else.
class Root {
  public:
    /// Finds or makes a store at `path`. Only an empty or a new directory becomes one; a store of a
    /// version that made no mark is known by its own files and gets the mark. Code::store_unusable
    /// for every other directory, for one of another owner, and where a link of another user is on
    /// the way.
    static base::Result<Root> open(const std::string& path, Access access);

    /// Whose files these are: the caller's, or with Access::read_only the root directory's owner.
    [[nodiscard]] uid_t owner() const noexcept { return owner_; }
    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    [[nodiscard]] mode_t dir_mode() const noexcept {
        return access_ == Access::private_user ? 0700 : 0755;
    }
    [[nodiscard]] mode_t file_mode() const noexcept {
        return access_ == Access::private_user ? 0600 : 0644;
    }

    /// With O_PATH an NFS client answers from its caches; with O_RDONLY it asks the server, and
    /// forgets names that it remembers as missing and directories that are no more: for all that
    /// changes something, and for what must not be missed.
    [[nodiscard]] base::Result<base::UniqueFd> part(Part part, int flags) const;
    /// A directory inside a part.
    [[nodiscard]] base::Result<base::UniqueFd> inner(int dir, const std::string& name,
                                                     int flags) const;
    /// The root itself. Where the store is written to, it must have the mark.
    [[nodiscard]] base::Result<base::UniqueFd> directory(int flags) const;
    /// This object has recognised the directory as a store of an older version, and marked it.
    [[nodiscard]] bool marked_now() const noexcept { return marked_now_; }

  private:
    Root(std::string path, Access access) : path_(std::move(path)), access_(access) {}
    base::Result<void> adopt(int root);
    base::Result<void> make_parts(int root) const;
    base::Result<bool> has_mark(int root) const;
    base::Result<void> write_mark(int root) const;
    [[nodiscard]] bool is_older_store(int root) const;
    [[nodiscard]] base::Result<base::UniqueFd> checked(base::UniqueFd dir,
                                                       const std::string& path) const;

    std::string path_;
    Access access_;
    uid_t owner_ = 0;
    bool marked_now_ = false;
};

/// What to do where a call on a store failed with this errno.
const char* cure_of(int err) noexcept;

/// The error of a system call as one of the store `path`: it names the path, and has a cure.
base::Error of_store(base::Error error, const std::string& path);
template <typename T> base::Result<T> in_store(base::Result<T> result, const std::string& path) {
    return result ? std::move(result)
                  : base::Result<T>(base::Unexpected(of_store(std::move(result.error()), path)));
}

} // namespace slipway::store
