// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.hpp"

#include <stop_token>
#include <string>

namespace slipway::cli::images {

/// A file that appears under its name when it is whole. Until then it lies beside its place under another
/// name, and is removed with the object.
class NewFile {
  public:
    /// Nothing is created yet.
    static base::Result<NewFile> beside(std::string path);

    NewFile(NewFile&& other) noexcept;
    NewFile& operator=(NewFile&&) = delete;
    NewFile(const NewFile&) = delete;
    NewFile& operator=(const NewFile&) = delete;
    ~NewFile();

    /// Where to create the file; nothing is there.
    [[nodiscard]] const std::string& unused_path() const noexcept { return part_; }

    /// Creates the file as a copy of an open one, sharing blocks where the file system can. Code::interrupted,
    /// Code::out_of_space, Code::io.
    base::Result<void> copy_from(int source, std::stop_token stop);

    /// Gives the file its name. Without `replace` a file that has appeared there meanwhile stays:
    /// Code::image_exists.
    base::Result<void> publish(bool replace);

  private:
    explicit NewFile(std::string path, std::string part)
        : path_(std::move(path)), part_(std::move(part)) {}

    std::string path_;
    std::string part_; ///< "" when there is nothing to remove
};

} // namespace slipway::cli::images
