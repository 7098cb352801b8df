// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/root_image.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace slipway::launcher {

enum class LayerUse : std::uint8_t {
    container, ///< changes go where they should
    plan,      ///< read-only, and nothing is made anywhere
};

/// Lays what mount_roots() has mounted over each other: one mount, detached, nosuid,nodev and
/// read-only but where changes go into a directory. A single image is that mount already.
/// Directories of the user's that take changes get `upper` and `work`, which must be directories of
/// their own right there (no symlinks, no mounts). The host's files are where they were afterwards.
///
/// In the container's mount namespace, with /proc of the host. Code::mount_failed with the reason
/// and what to do when the file system of an overlay cannot be used for that.
base::Result<base::UniqueFd> lay_roots(std::span<const RootImage> images,
                                       std::vector<base::UniqueFd> mounts, LayerUse use);

/// Memory of `size` bytes (0: half of the node's) for changes over `root`, a mount that is attached:
/// a new one, detached. It is put together in `stage` (stage.hpp). Not part of lay_roots(), whose own
/// stage costs time to take away. Code::mount_failed.
base::Result<base::UniqueFd> lay_memory(int stage, int root, std::uint64_t size);

} // namespace slipway::launcher
