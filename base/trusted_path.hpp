// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/fd.hpp"

#include <string>

#include <sys/types.h>

namespace slipway::base {

/// Opens a file or directory that nobody but root and `owner` can have put there or changed. The
/// way is walked by descriptors from "/" on: every directory, every symlink on it and the file
/// itself must belong to root or `owner`, and directories and file must not be writable for group
/// or others; a directory like /tmp (sticky) may be, because what it holds is safe there when it
/// belongs to the right user. What was checked is what is returned: a rename in between changes
/// nothing.
///
/// `flags` as for open(2), O_CLOEXEC is added; the path must be absolute. A breach is `insecure`
/// and says which part of the way it is and how to mend it; a missing part is Code::io with
/// sys_errno ENOENT.
Result<UniqueFd> open_trusted(const std::string& path, int flags, uid_t owner, Code insecure);

} // namespace slipway::base
