// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.hpp"

#include <sys/types.h>

namespace slipway::launcher {

/// Moves this single-threaded process into a new user namespace in which its user and group are
/// themselves and setgroups is refused. Needs no privilege; supplementary groups stay in force but
/// show as nobody. Code::userns_unavailable, with the kernel setting that forbids it in the hint.
base::Result<void> enter_own_user_namespace();

/// Moves this process into a new mount namespace. Mounts of the host keep arriving (slaves), none
/// of ours gets out, because the namespace belongs to a less privileged user namespace.
base::Result<void> enter_own_mount_namespace();

/// The error for a failed unshare(2) or clone(2), or for a first mount that is refused: looks at
/// the kernel's settings to say which one is in the way.
base::Error userns_error(int err, std::string_view what);

} // namespace slipway::launcher
