// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace slipway::launcher {

/// Kills (SIGKILL) every other process in the caller's mount namespace that the caller may kill,
/// and those that they fork meanwhile. For a step whose slurmstepd is gone: nobody else would ever
/// end its tasks, and the server of their files goes with the launcher. Processes that have made a
/// mount namespace of their own are left alone.
///
/// `proc` is a directory descriptor of a procfs of the caller's pid namespace, opened for reading.
/// Processes whose namespace the kernel does not show to the caller count as strangers. Gives up
/// after a while against a program that forks faster than it is killed.
void kill_namespace_mates(int proc) noexcept;

} // namespace slipway::launcher
