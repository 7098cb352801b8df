// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/fd.hpp"
#include "base/result.hpp"

#include <optional>
#include <string>

#include <sys/types.h>

namespace slipway::store {

/// Opens the directory `path` with O_PATH, component by component: base/path_walk.hpp. A symbolic link on the way must
/// belong to root or to `link_owner` (nothing: to root or the owner of the directory that it leads
/// to in the end): nobody else says where a store is. With `make` missing directories are made, with
/// that mode. Errors are Code::store_unusable.
base::Result<base::UniqueFd> walk_to(const std::string& path, std::optional<uid_t> link_owner,
                                     std::optional<mode_t> make);

} // namespace slipway::store
