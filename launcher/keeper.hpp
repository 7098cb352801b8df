// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/child.hpp"

namespace slipway::launcher {

/// Like Child::fork(), for the server of an image on which this process itself waits. Linux sends
/// the death signal (PR_SET_PDEATHSIG, which `body` asks for) when the *thread* ends that has
/// forked. A thread that waits for an answer of the server cannot end before it comes, not even by
/// SIGKILL; so the fork is made by a thread that does nothing else from then on. It ends as soon as
/// this process is killed, the server with it, and with the server every wait for it.
///
/// The thread blocks all signals, drops every capability before it forks and lasts as long as the
/// process. Code::system.
base::Result<base::Child> fork_from_keeper(const std::function<int()>& body);

} // namespace slipway::launcher
