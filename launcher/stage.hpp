// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/fd.hpp"

#include <string>

/// A small tmpfs in which a container is put together. Like all mounts it needs CAP_SYS_ADMIN in the
/// namespace that owns the mount namespace.
namespace slipway::launcher {

/// Attaches one in the current mount namespace. Any directory of the host will do as its place: it is
/// covered in this namespace only, as long as the stage is there. Code::mount_failed.
base::Result<base::UniqueFd> make_stage();

/// A new directory in it, O_PATH.
base::Result<base::UniqueFd> stage_directory(int stage, const std::string& name);

/// Takes it away again, with everything that is attached in it. Needs /proc of the host.
base::Result<void> remove_stage(int stage);

} // namespace slipway::launcher
