// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.hpp"
#include "launcher/join/request.hpp"

#include <sys/types.h>

namespace slipway::launcher {

/// Who is who in a user namespace with a single user.
struct UserMap {
    uid_t uid_inside = 0;
    uid_t uid = 0;
    gid_t gid_inside = 0;
    gid_t gid = 0;
};

/// Moves this single-threaded process into a new user namespace in which its user and group are
/// themselves and setgroups is refused. Needs no privilege; supplementary groups stay in force but
/// show as nobody. Code::userns_unavailable, with the kernel setting that forbids it in the hint.
base::Result<void> enter_own_user_namespace();

/// For a process that has just entered a user namespace of its own; setgroups is refused there.
/// Code::userns_unavailable.
base::Result<void> map_one_user(const UserMap& map);

/// Moves this process into a new mount namespace. Mounts of the host keep arriving (slaves), none
/// of ours gets out, because the namespace belongs to a less privileged user namespace.
base::Result<void> enter_own_mount_namespace();

/// Moves this process into those namespaces that are asked for, but for that of pids: see init.hpp.
/// A new network has a loopback device that is up, and nothing else. Needs the capabilities of the
/// container's user namespace. Code::userns_unavailable; Code::option_invalid for a hostname that
/// the kernel refuses.
base::Result<void> enter_namespaces(const join::Namespaces& asked);

/// The error for a failed unshare(2) or clone(2), or for a first mount that is refused: looks at
/// the kernel's settings to say which one is in the way. `setting` limits the number of what could
/// not be made: a process in a user namespace of its own is shown other limits than those that
/// count.
base::Error userns_error(int err, std::string_view what,
                         std::string_view setting = "user.max_user_namespaces");

} // namespace slipway::launcher
