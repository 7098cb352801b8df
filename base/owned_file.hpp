// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/fd.hpp"

#include <string>

#include <sys/stat.h>
#include <sys/types.h>

namespace slipway::base {

/// Why this is not `owner`'s alone: "belongs to uid 5, not to uid 7", "may be written to by
/// others (mode 0777)"; "" when it is.
std::string owner_fault(const struct stat& facts, uid_t owner);

/// Opens one name in an open directory: a directory where `flags` has O_DIRECTORY, else a regular
/// file, which is `owner`'s alone. Links are not followed, nothing that might block is opened. What
/// was checked is what is returned.
///
/// A breach is `insecure`, with sys_errno 0, and names `whole`, the path for people; everything else
/// is Code::io with the errno of open(2).
Result<UniqueFd> open_owned(int directory, const std::string& name, int flags, uid_t owner,
                            const std::string& whole, Code insecure);

} // namespace slipway::base
