// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include <linux/filter.h>
#include <linux/seccomp.h>

namespace slipway::base {

/// False in builds with AddressSanitizer or ThreadSanitizer: their own calls would not pass any
/// filter, and their memory no limit.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool sandbox_possible = false;
#else
inline constexpr bool sandbox_possible = true;
#endif

/// What becomes of a system call that no rule of a filter is about.
enum class OtherCalls { end_the_process, work };

/// A list of the system calls that a process may still make; every other one ends the process
/// (SIGSYS), unless install() is told to let them work. Allocates nothing. Install it while the process has one thread: threads started later
/// have it, too.
class SyscallFilter {
  public:
    SyscallFilter() noexcept;

    /// Whatever the arguments are.
    void allow(std::span<const std::uint32_t> calls) noexcept;
    /// Only when (argument & mask) == value; only the low 32 bits are looked at.
    void allow_masked(std::uint32_t call, unsigned argument, std::uint32_t mask,
                      std::uint32_t value) noexcept;
    /// Ends the process unless (argument & mask) == value; rules behind this one go on deciding.
    void require(std::uint32_t call, unsigned argument, std::uint32_t mask,
                 std::uint32_t value) noexcept;
    /// The call fails with this errno and does nothing.
    void refuse(std::uint32_t call, int error) noexcept;
    /// The call succeeds and does nothing.
    void pretend(std::span<const std::uint32_t> calls) noexcept;
    /// The same only when (argument & mask) == value; rules behind this one go on deciding.
    void pretend_masked(std::uint32_t call, unsigned argument, std::uint32_t mask,
                        std::uint32_t value) noexcept;
    /// What libc needs of memory and threads: no page becomes executable, a clone is a thread,
    /// clone3 is refused (its flags cannot be seen; libc then takes clone), openat is refused with
    /// EACCES (libc looks at /proc/sys/vm/overcommit_memory when it gives memory back).
    void allow_memory_and_threads() noexcept;

    /// Sets no_new_privs and the filter. False when either failed.
    bool install(OtherCalls others = OtherCalls::end_the_process) noexcept;

  private:
    void add(unsigned code, std::uint32_t value) noexcept;
    void when(std::uint32_t value, std::uint8_t count) noexcept;
    void load_masked(unsigned argument, std::uint32_t mask) noexcept;

    std::array<sock_filter, 160> code_{};
    std::size_t size_ = 0;
    bool overflow_ = false;
};

} // namespace slipway::base
