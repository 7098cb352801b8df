// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

// Small file operations that several files of this room share.
namespace slipway::store {

/// Names in a directory without "." and "..". A missing directory is an error with ENOENT.
base::Result<std::vector<std::string>> list_directory(const std::string& path);

/// "Now" as the file server sees it: the mtime that it gives to a file made now in `directory`; 0
/// when that cannot be known. Clocks of hosts differ; times of files on one server can be compared.
std::int64_t server_now(const std::string& directory);

/// Writes a file that must not exist yet, whole or not at all as far as readers can see it: written
/// under a name of ours in the same directory, synced, linked, the first name removed.
base::Result<void> write_new_file(const std::string& path, std::string_view content, mode_t mode);

/// fsync of a file or a directory by path.
base::Result<void> sync_path(const std::string& path, bool directory);

/// Latest expiry among the grants in a grant directory; 0 when there is none.
std::int64_t granted_until(const std::string& grant_dir);

/// Bytes of all regular files below a directory (0 when it is missing).
std::uint64_t tree_bytes(const std::string& path);

} // namespace slipway::store
