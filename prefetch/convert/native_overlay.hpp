// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "image/native.hpp"
#include "prefetch/convert/data_writer.hpp"
#include "prefetch/convert/tree.hpp"

#include <cstdint>
#include <vector>

namespace slipway::prefetch::convert {

/// Lays the entries of a native image (.singularity.d and what belongs to it) over the tree by their
/// rules, and writes the content of new files. `mtime` is what all of it gets. Parents are found as
/// in a layer: symlinks are followed inside the root.
base::Result<void> overlay_native(Tree& tree, DataWriter& data, NamePool& names,
                                  const std::vector<image::NativeEntry>& entries,
                                  std::uint32_t mtime);

} // namespace slipway::prefetch::convert
