// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/fd.hpp"

namespace slipway::prefetch::sources {

/// A new file without a name in the open directory `directory` (O_TMPFILE, or made and unlinked where
/// the file system has none), mode 0600, for reading and writing. It goes with its descriptor, also
/// when the program is killed.
base::Result<base::UniqueFd> make_spool_file(int directory);

} // namespace slipway::prefetch::sources
