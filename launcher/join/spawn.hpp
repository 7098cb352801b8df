// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/deadline.hpp"
#include "launcher/join/start.hpp"

namespace slipway::launcher::join {

/// Waits until the socket can be read (true) or the process has ended (false; what it said before
/// is read first). A socket of -1 waits for the process alone. Code::timed_out.
base::Result<bool> wait_for_either(int socket, int pidfd, const base::Deadline& deadline);

struct Spawned {
    pid_t pid = -1;
    base::UniqueFd pidfd;
};

/// The two children and the execve of start_launcher(), for a process of one thread, which waits
/// (and can still be killed) until the launcher runs: environment empty, session, signal
/// dispositions, mask, umask and directory fresh, descriptors 0-2 on /dev/null, 3 the step socket,
/// 4 the pidfd of slurmstepd, nothing else open. The launcher is nobody's child: slurmstepd and the
/// user's command must not find it among theirs. The pidfd is opened while the pid cannot have been
/// used again.
base::Result<Spawned> spawn_launcher(const StartFacts& facts);

} // namespace slipway::launcher::join
