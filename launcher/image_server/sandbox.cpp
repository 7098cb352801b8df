// SPDX-License-Identifier: Apache-2.0
#include "launcher/image_server/sandbox.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstddef>
#include <cstdint>

#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace slipway::launcher::image_server {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool filter_calls = false; // the sanitizers' own calls would not pass
#else
constexpr bool filter_calls = true;
#endif

#if defined(__x86_64__)
constexpr std::uint32_t native_arch = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t native_arch = AUDIT_ARCH_AARCH64;
#else
#error "no seccomp architecture for this processor"
#endif

constexpr std::size_t max_keep = 8;

/// Signals meant for the job's processes reach this one too: Slurm signals whole steps, terminals
/// whole process groups. Faults end the process all the same.
void block_signals() noexcept {
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, nullptr);
}

bool close_range_of(unsigned first, unsigned last) noexcept {
    if (first > last || syscall(SYS_close_range, first, last, 0U) == 0) {
        return true;
    }
    if (errno != ENOSYS) {
        return false;
    }
    // Before Linux 5.9: one by one, as far as descriptors can go.
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return false;
    }
    const auto end = std::min<rlim_t>(limit.rlim_cur, std::uint64_t{last} + 1);
    for (rlim_t fd = first; fd < end; ++fd) {
        ::close(static_cast<int>(fd));
    }
    return true;
}

bool close_others(std::span<const int> keep) noexcept {
    std::array<int, max_keep> sorted{};
    if (keep.size() > sorted.size()) {
        return false;
    }
    const auto end = std::copy(keep.begin(), keep.end(), sorted.begin());
    std::sort(sorted.begin(), end);
    unsigned first = 0;
    for (auto at = sorted.begin(); at != end; ++at) {
        if (*at < 0) {
            continue;
        }
        const auto fd = static_cast<unsigned>(*at);
        if (fd > first && !close_range_of(first, fd - 1)) {
            return false;
        }
        first = std::max(first, fd + 1);
    }
    return close_range_of(first, UINT_MAX);
}

bool drop_capabilities() noexcept {
    // The ambient set follows; the bounding set is of no use to who can never exec again.
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> none{};
    if (syscall(SYS_capset, &header, none.data()) != 0) {
        return false;
    }
    std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> left{};
    if (syscall(SYS_capget, &header, left.data()) != 0) {
        return false;
    }
    return std::all_of(left.begin(), left.end(), [](const __user_cap_data_struct& set) {
        return (set.effective | set.permitted | set.inheritable) == 0;
    });
}

/// Calls that are allowed whatever their arguments.
constexpr std::uint32_t allowed_calls[] = {
    // serving
    SYS_read, SYS_write, SYS_writev, SYS_pread64, SYS_fadvise64, SYS_futex,
    // memory
    SYS_munmap, SYS_mremap, SYS_madvise, SYS_brk,
    // threads, and the end of them
    SYS_set_robust_list, SYS_rseq, SYS_rt_sigprocmask, SYS_rt_sigaction, SYS_sched_yield,
    SYS_sched_getaffinity,
    SYS_exit, SYS_exit_group, SYS_gettid, SYS_getpid,
    SYS_restart_syscall,
    // where the vDSO has no clock, and malloc's random numbers
    SYS_clock_gettime, SYS_getrandom,
};

constexpr std::uint32_t thread_flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;
constexpr std::uint32_t namespace_flags = CLONE_NEWNS | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET |
                                          CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;

class Filter {
  public:
    void load(std::size_t at) noexcept { add(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(at)); }
    void give(std::uint32_t action) noexcept { add(BPF_RET | BPF_K, action); }
    /// The next `count` instructions only when the loaded word is `value`.
    void when(std::uint32_t value, std::uint8_t count) noexcept {
        code_[size_++] = {BPF_JMP | BPF_JEQ | BPF_K, 0, count, value};
    }
    void keep_bits(std::uint32_t mask) noexcept { add(BPF_ALU | BPF_AND | BPF_K, mask); }

    /// Allows `call` when (argument & mask) == value, else kills.
    void allow_masked(std::uint32_t call, unsigned argument, std::uint32_t mask,
                      std::uint32_t value) noexcept {
        when(call, 5);
        load(offsetof(seccomp_data, args) + 8U * argument); // low half: little-endian
        keep_bits(mask);
        when(value, 1);
        give(SECCOMP_RET_ALLOW);
        give(SECCOMP_RET_KILL_PROCESS);
    }
    [[nodiscard]] sock_fprog program() noexcept {
        return {static_cast<unsigned short>(size_), code_.data()};
    }

  private:
    void add(unsigned code, std::uint32_t value) noexcept {
        code_[size_++] = {static_cast<std::uint16_t>(code), 0, 0, value};
    }
    std::array<sock_filter, 128> code_{};
    std::size_t size_ = 0;
};

bool filter_system_calls() noexcept {
    Filter filter;
    filter.load(offsetof(seccomp_data, arch));
    filter.when(native_arch, 1);
    filter.load(offsetof(seccomp_data, nr)); // with another architecture the word matches no call
    for (const std::uint32_t call : allowed_calls) {
        filter.when(call, 1);
        filter.give(SECCOMP_RET_ALLOW);
    }
    filter.allow_masked(SYS_mmap, 2, PROT_EXEC, 0);
    filter.allow_masked(SYS_mprotect, 2, PROT_EXEC, 0);
    filter.allow_masked(SYS_clone, 0, thread_flags | namespace_flags, thread_flags);
    // Its flags lie in memory where no filter sees them; libc then takes clone.
    filter.when(SYS_clone3, 1);
    filter.give(SECCOMP_RET_ERRNO | ENOSYS);
    // libc looks at /proc/sys/vm/overcommit_memory when it gives memory back; it does without.
    filter.when(SYS_openat, 1);
    filter.give(SECCOMP_RET_ERRNO | EACCES);
    filter.give(SECCOMP_RET_KILL_PROCESS);
    sock_fprog program = filter.program();
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0;
}

} // namespace

bool enter_sandbox(std::span<const int> keep) noexcept {
    block_signals();
    setsid(); // fails for a leader of a process group, which no terminal signals through us anyway
    return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 && close_others(keep) && drop_capabilities() &&
           prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           (!filter_calls || filter_system_calls());
}

} // namespace slipway::launcher::image_server
