// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/join/join.hpp"

#include <span>

namespace slipway::launcher::join {

/// What only root knows and root vouches for: Slurm's own facts about the job, never options.
struct StartFacts {
    std::string
        launcher_path; ///< absolute path of slipway-launch (root-owned; from the plugin's site)
    std::string config_path; ///< site configuration; empty: the compiled-in place
    uid_t uid = 0;
    gid_t gid = 0;
    std::vector<gid_t> groups; ///< supplementary groups of the job
    int stepd_pidfd = -1;      ///< the launcher ends when this process ends
    int task_socket = -1;      ///< the tasks' end of the step socket (SO_PASSCRED set)
    int launcher_socket = -1;  ///< the launcher's end
    int timeout_ms = 60000;    ///< for the whole start
};

/// Called once, as soon as the launcher is known (by pid and start time, see base/process.hpp) and
/// long before it is ready: whoever waits for the step must be able to end a launcher whose starter
/// was killed half-way. A start time of 0: it has ended already.
using LauncherStarted = std::function<void(pid_t pid, std::uint64_t start_time)>;

/// Called by the first task of a step on a node, as root (task_init_privileged), holding the step's
/// mutex. Double-forks `slipway-launch step --uid U --gid G --step-fd 3 --parent-fd 4 --config
/// PATH` with an empty environment, stdin/stdout/stderr on /dev/null and every other descriptor
/// closed; writes the id maps of its user namespace (setgroups=deny first; primary group first,
/// then as many supplementary groups as fit in 4096 bytes of gid_map); sends the request; opens
/// /dev/fuse inside the namespace where the user may not; waits for ready or failed. `warn` gets
/// the launcher's warnings for the user, printable and one line each. On any error the launcher has
/// been killed and is gone. Every wait restarts on EINTR and ends with facts.timeout_ms. The
/// launcher begins a session of its own: no signal meant for the step's process group hits it.
/// slipway-launch inherits the caller's supplementary groups (slurmstepd has set them to the
/// job's).
base::Result<JoinHandles> start_launcher(const StartFacts& facts, const Request& request,
                                         const std::function<void(std::string_view)>& warn,
                                         const LauncherStarted& started);

/// A later task: asks the running launcher for the same handles. The pid lets it notice at once
/// that the launcher has died: slurmstepd and all tasks hold both ends of the socket, so it never
/// closes. Ends after timeout_ms, whatever the launcher sends.
base::Result<JoinHandles> ask_to_join(int task_socket, pid_t launcher_pid, int timeout_ms);

/// SIGTERM, and SIGKILL when half of the time is over; returns when the process is gone. A pid that
/// is gone, or has another start time by now, is success. Code::timed_out when it survives even
/// that.
base::Result<void> stop_process(pid_t pid, std::uint64_t start_time, int timeout_ms);

/// Text of gid_map for a user with these groups: identity lines, primary first, no duplicates, cut
/// at a whole line below 4096 bytes and at 340 lines. Pure.
std::string gid_map_text(gid_t primary, std::span<const gid_t> supplementary);

} // namespace slipway::launcher::join
