// SPDX-License-Identifier: Apache-2.0
#include "base/seccomp.hpp"

#include <cerrno>

#include <linux/audit.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

namespace slipway::base {
namespace {

#if defined(__x86_64__)
constexpr std::uint32_t native_arch = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t native_arch = AUDIT_ARCH_AARCH64;
#else
#error "no seccomp architecture for this processor"
#endif

constexpr std::uint32_t thread_flags =
    CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;
constexpr std::uint32_t namespace_flags = CLONE_NEWNS | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET |
                                          CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;

constexpr std::uint32_t memory_and_thread_calls[] = {
    // memory
    SYS_munmap, SYS_mremap, SYS_madvise, SYS_brk,
    // threads, and the end of them
    SYS_futex, SYS_set_robust_list, SYS_rseq, SYS_rt_sigprocmask, SYS_rt_sigaction,
    SYS_sched_yield, SYS_sched_getaffinity, SYS_exit, SYS_exit_group, SYS_gettid, SYS_getpid,
    SYS_restart_syscall,
    // where the vDSO has no clock, and malloc's random numbers
    SYS_clock_gettime, SYS_getrandom,
};

} // namespace

SyscallFilter::SyscallFilter() noexcept {
    add(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch));
    when(native_arch, 1);
    // With another architecture the word that is loaded already matches no call.
    add(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr));
}

void SyscallFilter::add(unsigned code, std::uint32_t value) noexcept {
    if (size_ == code_.size()) {
        overflow_ = true;
        return;
    }
    code_[size_++] = {static_cast<std::uint16_t>(code), 0, 0, value};
}

/// The next `count` instructions only when the loaded word is `value`.
void SyscallFilter::when(std::uint32_t value, std::uint8_t count) noexcept {
    add(BPF_JMP | BPF_JEQ | BPF_K, value);
    code_[size_ - 1].jf = count;
}

/// The low half of an argument: both processors are little-endian. Two instructions.
void SyscallFilter::load_masked(unsigned argument, std::uint32_t mask) noexcept {
    add(BPF_LD | BPF_W | BPF_ABS,
        static_cast<std::uint32_t>(offsetof(seccomp_data, args) + 8U * argument));
    add(BPF_ALU | BPF_AND | BPF_K, mask);
}

void SyscallFilter::allow(std::span<const std::uint32_t> calls) noexcept {
    for (const std::uint32_t call : calls) {
        when(call, 1);
        add(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    }
}

void SyscallFilter::allow_masked(std::uint32_t call, unsigned argument, std::uint32_t mask,
                                 std::uint32_t value) noexcept {
    when(call, 5);
    load_masked(argument, mask);
    when(value, 1);
    add(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    add(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
}

void SyscallFilter::require(std::uint32_t call, unsigned argument, std::uint32_t mask,
                            std::uint32_t value) noexcept {
    when(call, 5);
    load_masked(argument, mask);
    when(value, 1);
    code_[size_ - 1].jf = 0;
    code_[size_ - 1].jt = 1;
    add(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    add(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr));
}

void SyscallFilter::refuse(std::uint32_t call, int error) noexcept {
    when(call, 1);
    add(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(error));
}

void SyscallFilter::pretend(std::span<const std::uint32_t> calls) noexcept {
    for (const std::uint32_t call : calls) {
        refuse(call, 0);
    }
}

void SyscallFilter::pretend_masked(std::uint32_t call, unsigned argument, std::uint32_t mask,
                                   std::uint32_t value) noexcept {
    when(call, 5);
    load_masked(argument, mask);
    when(value, 1);
    add(BPF_RET | BPF_K, SECCOMP_RET_ERRNO);
    add(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr));
}

void SyscallFilter::allow_memory_and_threads() noexcept {
    allow(memory_and_thread_calls);
    allow_masked(SYS_mmap, 2, PROT_EXEC, 0);
    allow_masked(SYS_mprotect, 2, PROT_EXEC, 0);
    allow_masked(SYS_clone, 0, thread_flags | namespace_flags, thread_flags);
    refuse(SYS_clone3, ENOSYS);
    refuse(SYS_openat, EACCES);
}

bool SyscallFilter::install(OtherCalls others) noexcept {
    add(BPF_RET | BPF_K,
        others == OtherCalls::work ? SECCOMP_RET_ALLOW : SECCOMP_RET_KILL_PROCESS);
    sock_fprog program{static_cast<unsigned short>(size_), code_.data()};
    return !overflow_ && ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0;
}

} // namespace slipway::base
