// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/child.hpp"

/// Threads that never wait for an image's server, so that this process can always be ended. A
/// thread that waits for an answer of a FUSE server cannot end before it comes, not even by
/// SIGKILL.
///
/// Both kinds block all signals, drop every capability before they begin, take no memory afterwards
/// and last as long as the process.
namespace slipway::launcher {

/// Like Child::fork(), for the server of an image on which this process itself waits. Linux sends
/// the death signal (PR_SET_PDEATHSIG, which `body` asks for) when the *thread* ends that has
/// forked, so the fork is made by a thread that does nothing else from then on. It ends as soon as
/// this process is killed, the server with it, and with the server every wait for it. Code::system.
base::Result<base::Child> fork_from_keeper(const std::function<int()>& body);

/// Kills this process (SIGKILL) when the process behind `pidfd`, which stays open, has ended and
/// `grace_ms` later this one is still there: because it waits for a file system that does not
/// answer, and so could not see it itself. Code::system.
base::Result<void> end_with(int pidfd, int grace_ms);

} // namespace slipway::launcher
