// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.hpp"

#include <cstdint>

namespace slipway::prefetch::convert {

/// Gives up, for good and for every thread started later, everything that converting a hostile
/// image does not need: capabilities, new privileges, and all system calls but reading, writing and
/// truncating what is open, receiving descriptors, memory and threads. No file can be opened, no
/// process or socket made, no descriptor passed on, no memory shared or made executable. Another
/// call ends the process. The kernel also ends it together with its parent.
///
/// Call it while the process has one thread. Code::system when a step failed: the process must end.
base::Result<void> enter_sandbox();

/// Most that the process may have of each, from then on. Exceeding them is bad_alloc for memory,
/// EFBIG for the file, SIGXCPU for the time.
struct Bounds {
    std::uint64_t data_bytes = 0; ///< private writable memory, all stacks but the first included
    std::uint64_t file_bytes = 0;
    std::uint64_t cpu_seconds = 0;
};
/// Works inside the sandbox; limits that were lower before stay.
base::Result<void> set_bounds(const Bounds& bounds);

} // namespace slipway::prefetch::convert
