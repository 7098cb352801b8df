// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>

namespace slipway::test {

/// This program's operator new fails when so many more allocations have been made; -1: never.
extern std::atomic<long> allocations_left;
/// Set in threads whose allocations neither fail nor count.
extern thread_local bool allocations_never_fail_here;

} // namespace slipway::test
