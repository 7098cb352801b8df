// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/child.hpp"

/// A container with processes of its own: what stands outside of its pid namespace, and its init.
///
///     slipway (outside)  --  process 1 (builds the container, then init)  --  the command
///
/// Each of the two passes signals on to the next one, and takes over its exit code (128+N for a
/// command that signal N has ended). What a terminal sends to its foreground goes to all of them at
/// once and is not passed on. When the process outside is killed, the kernel kills process 1, and
/// with that everything in the container.
namespace slipway::launcher {

class PidNamespace {
  public:
    /// Forks into a new pid namespace and returns as process 1 there. The process outside never
    /// comes back from this call; it lets go of every capability and of every descriptor. A
    /// signal to end that reaches it before the command runs (until the next exec) ends both. At
    /// the end it takes the foreground of the terminal back if it had it.
    /// Single-threaded; needs CAP_SYS_ADMIN in the user namespace of the process.
    /// Code::userns_unavailable, Code::system.
    static base::Result<PidNamespace> enter();

    /// Becomes init and returns as its child, ready to execute the command; process 1 itself does
    /// not come back. To be called when the container is complete. Not called where the command is
    /// to be process 1. Code::system.
    base::Result<void> start_init();

  private:
    explicit PidNamespace(base::UniqueFd starting) noexcept : starting_(std::move(starting)) {}

    base::UniqueFd starting_; ///< closed, by exec too, when the command runs
};

} // namespace slipway::launcher
