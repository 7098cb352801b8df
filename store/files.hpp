// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/fd.hpp"
#include "base/result.hpp"
#include "store/layout.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <sys/stat.h>
#include <sys/types.h>

// Small file operations that several files of this room share. All of them work beneath an open
// directory and follow no links.
namespace slipway::store {

/// A name and what lstat(2) says of it.
struct Entry {
    std::string name;
    struct stat facts {};
};

/// What is in a directory, without names that vanish meanwhile and without ".nfs…": those are
/// removed files that somebody has open, and the NFS client's own affair.
base::Result<std::vector<Entry>> entries(int dir);

/// What file systems keep in their own top directory ("lost+found").
bool is_of_file_system(const Entry& entry);

/// Whether it is of a name and kind that a store writes in that part, and its owner's.
bool is_written(Part part, const Entry& entry, uid_t owner);

/// "Now" as the file server sees it: the mtime that it gives to a file made now in `dir`; 0 when
/// that cannot be known. Clocks of hosts differ; times of files on one server can be compared.
std::int64_t server_now(int dir);

/// Content of a regular file that is `owner`'s alone, at most `max` bytes.
base::Result<std::string> read_plain(int dir, const std::string& name, std::size_t max,
                                     uid_t owner);

/// Where a file is written before it gets its name.
struct Unfinished {
    int dir;
    std::string name;
};

/// Writes a file that must not exist yet, whole or not at all as far as readers can see it: written
/// as `unfinished`, synced, linked to its name, the first name removed.
base::Result<void> write_new_file(int dir, const std::string& name, std::string_view content,
                                  mode_t mode, const Unfinished& unfinished);

/// fsync of an open file or directory. Network file systems that cannot sync a directory are fine.
base::Result<void> sync_fd(int fd, const std::string& path);

/// Removes a regular file of `owner`. False when it cannot be removed, with errno; EPERM when
/// something else has the name.
bool remove_plain(int dir, const std::string& name, uid_t owner);

/// Opens a work directory of `owner` in tmp/. What is mounted there is not entered. Errors that are
/// not open(2)'s have sys_errno 0 and say what it is: "belongs to user 5".
base::Result<base::UniqueFd> open_work(int tmp, const std::string& name, uid_t owner);

/// Removes a work directory of `owner` with what slipway writes into one. When there is anything else
/// in it, all of it stays. A missing one is success.
base::Result<void> remove_work(int tmp, const std::string& name, uid_t owner);

/// Bytes on disk of all regular files below a directory.
std::uint64_t tree_bytes(int dir);

} // namespace slipway::store
