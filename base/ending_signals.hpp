// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <csignal>

namespace slipway::base {

/// What people, terminals and Slurm end a program with, and what it can take as a wish to end. Faults of the
/// program itself are not among them.
inline constexpr std::array ending_signals{SIGINT,  SIGTERM, SIGHUP,  SIGQUIT,
                                           SIGUSR1, SIGUSR2, SIGXCPU, SIGALRM};

} // namespace slipway::base
