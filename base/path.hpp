// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/fd.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace slipway::base {

/// Lexical clean-up of an absolute or relative path: no "//", no "." components, ".." taken back
/// where possible, never above "/". "" gives ".".
std::string clean_path(std::string_view path);

/// Components of a path without empty ones and ".": "/a//b/./c" gives a, b, c. ".." is kept.
std::vector<std::string> components(std::string_view path);

bool has_dotdot(std::string_view path); ///< some component is ".."

/// True when `path` is `prefix` or lies below it, compared by whole components ("/ab" is not below
/// "/a"). Both are cleaned first.
bool is_beneath(std::string_view path, std::string_view prefix);

std::string join_path(std::string_view directory, std::string_view name);
std::string_view base_name(std::string_view path) noexcept;
std::string_view dir_name(std::string_view path) noexcept; ///< "/" for "/a", "." for "a"

/// Of this process, absolute; Code::system when it was removed or cannot be reached from "/".
Result<std::string> current_directory();

/// Opens `path` inside the tree of `root_fd`: absolute symlinks and ".." stay in that tree
/// (RESOLVE_IN_ROOT), and no magic links of /proc are followed.
Result<UniqueFd> open_in_root(int root_fd, const std::string& path, int flags);

/// mkdir -p with `mode` for every directory that was missing.
Result<void> make_directories(const std::string& path, mode_t mode);

} // namespace slipway::base
