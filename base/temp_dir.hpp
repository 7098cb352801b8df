// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.hpp"

#include <string>

namespace slipway::base {

/// A directory of mode 0700 that is removed with everything in it when the object goes.
class TempDir {
  public:
    TempDir() = default;
    TempDir(TempDir&& other) noexcept : path_(std::exchange(other.path_, {})) {}
    TempDir& operator=(TempDir&& other) noexcept;
    TempDir(const TempDir&) = delete;
    TempDir& operator=(const TempDir&) = delete;
    ~TempDir();

    /// Below `parent` (default $TMPDIR, else /tmp); the name begins with `prefix`.
    static Result<TempDir> create(const std::string& prefix, const std::string& parent = {});

    /// The same in `parent` for programs that may be killed: the name carries a process_mark(), and what
    /// ended processes of this user have left under `prefix` there is removed first.
    static Result<TempDir> create_and_sweep(const std::string& prefix, const std::string& parent);

    [[nodiscard]] const std::string& path() const noexcept { return path_; }

  private:
    explicit TempDir(std::string path) : path_(std::move(path)) {}
    void remove() noexcept;
    std::string path_;
};

/// rm -rf without following symlinks; a missing path is success.
Result<void> remove_tree(const std::string& path);

} // namespace slipway::base
