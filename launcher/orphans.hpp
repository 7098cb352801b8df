// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace slipway::launcher {

/// Kills (SIGKILL) every other process of the caller's user that is in the caller's mount namespace
/// or in a user namespace below the caller's (a container inside the container), and those that
/// they fork meanwhile. For the end of a step: the server of their files goes with the launcher,
/// and where slurmstepd is gone nobody else would ever end them.
///
/// `proc` is a directory descriptor of a procfs of the caller's pid namespace, opened for reading.
/// Processes that the kernel does not show to the caller (those that have made themselves not
/// dumpable) stay; they are Slurm's to end, by the step's cgroup. Gives up after a while against a
/// program that forks faster than it is killed. Takes no memory.
void kill_container_processes(int proc) noexcept;

} // namespace slipway::launcher
