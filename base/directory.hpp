// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace slipway::base {

struct DirectoryEntry {
    std::string name;
    unsigned char type = 0; ///< DT_* of readdir(3); DT_UNKNOWN on file systems that do not say
};

/// Goes through a directory that is open for reading, from its position on, without "." and "..".
/// The descriptor stays the caller's. Takes no memory.
class DirectoryStream {
  public:
    struct Item {
        const char* name = nullptr; ///< good until the next call
        unsigned char type = 0;     ///< DT_*
    };

    explicit DirectoryStream(int fd) noexcept : fd_(fd) {}
    /// False at the end, and after an error.
    bool next(Item& item) noexcept;
    [[nodiscard]] int error() const noexcept { return error_; } ///< an errno, 0 for none

  private:
    int fd_;
    int error_ = 0;
    std::size_t at_ = 0;
    std::size_t filled_ = 0;
    alignas(8) std::array<char, 32768> buffer_;
};

/// Entries of an open directory without "." and "..", in the file system's order. The descriptor
/// stays the caller's, and its position where it is; one opened with O_PATH will do. More than
/// `max` entries are Code::limit_exceeded.
Result<std::vector<DirectoryEntry>> list_directory(int fd, std::size_t max = SIZE_MAX);

/// The names alone. The path is opened as it is, symlinks followed.
Result<std::vector<std::string>> names_in(const std::string& path, std::size_t max = SIZE_MAX);

} // namespace slipway::base
