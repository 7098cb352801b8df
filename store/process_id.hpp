// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <sys/types.h>

namespace slipway::store {

/// Names one process on one boot of one host, so that another process can tell whether it lives:
/// "host boot pid starttime". Pids alone are used again.
struct ProcessId {
    std::string host;
    std::string boot;
    pid_t pid = -1;
    std::uint64_t start = 0; ///< clock ticks after boot, field 22 of /proc/PID/stat

    static ProcessId self();
    [[nodiscard]] std::string text() const;
    /// Empty host when the text is damaged.
    static ProcessId parse(std::string_view text);
};

/// "<host>.<pid>.<n>", never the same twice in this process.
std::string new_work_name();

enum class Liveness { alive, dead, unknown }; ///< unknown: it is on another host
Liveness liveness(const ProcessId& process);

} // namespace slipway::store
