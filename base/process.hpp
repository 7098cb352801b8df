// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.hpp"

#include <cstdint>

#include <sys/types.h>

namespace slipway::base {

struct ProcessFacts {
    char state = '?';             ///< as in /proc/PID/stat: R, S, D, Z, …
    std::uint64_t start_time = 0; ///< clock ticks after boot; with the pid it names one process
    [[nodiscard]] bool alive() const noexcept { return state != 'Z' && state != 'X'; }
};

/// What /proc/PID/stat says. Code::io when there is no such process.
Result<ProcessFacts> process_facts(pid_t pid);

/// Start time of a process that is there, ended or not.
Result<std::uint64_t> process_start_time(pid_t pid);

} // namespace slipway::base
