// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.hpp"

#include <sys/types.h>

/// The only code of slipway-launch that runs as root: from its start until it is an ordinary user
/// in a user namespace. It reads nothing but its arguments. Every step is checked, and the end
/// state is read back from the kernel.
namespace slipway::launcher {

/// Step 1, as root: closes every descriptor but 0, 1, 2 and the two given ones, asks the kernel to
/// prefer others when memory runs out, and gives up ever gaining privileges by execve.
base::Result<void> shed_inheritance(int step_fd, int parent_fd);

/// Step 2: becomes the user for good (real, effective and saved ids), keeping CAP_SYS_ADMIN alone,
/// which step 3 needs where the site forbids user namespaces to ordinary users. Supplementary
/// groups are left as slurmstepd set them.
base::Result<void> become_user(uid_t uid, gid_t gid);

/// Step 3: moves into a new user namespace, owned by the user. From here on the process has no
/// capability over anything of the host: capabilities count in the new namespace only.
base::Result<void> leave_host_privileges();

/// Step 4, after somebody has written the id maps: the process is who it should be.
base::Result<void> verify_identity(uid_t uid, gid_t gid);

} // namespace slipway::launcher
