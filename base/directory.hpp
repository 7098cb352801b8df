// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace slipway::base {

struct DirectoryEntry {
    std::string name;
    unsigned char type = 0; ///< DT_* of readdir(3); DT_UNKNOWN on file systems that do not say
};

/// Entries of an open directory without "." and "..", in the file system's order. The descriptor
/// stays the caller's, and its position where it is; one opened with O_PATH will do. More than
/// `max` entries are Code::limit_exceeded.
Result<std::vector<DirectoryEntry>> list_directory(int fd, std::size_t max = SIZE_MAX);

/// The names alone. The path is opened as it is, symlinks followed.
Result<std::vector<std::string>> names_in(const std::string& path, std::size_t max = SIZE_MAX);

} // namespace slipway::base
