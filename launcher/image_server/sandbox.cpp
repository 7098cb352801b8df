// SPDX-License-Identifier: Apache-2.0
#include "launcher/image_server/sandbox.hpp"

#include "base/capabilities.hpp"
#include "base/seccomp.hpp"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdint>

namespace slipway::launcher::image_server {
namespace {

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

bool filter_system_calls() noexcept {
    if (!base::sandbox_possible) {
        return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
    }
    // The frequent ones first: the kernel goes through the list at every call.
    constexpr std::uint32_t serving[] = {SYS_read,    SYS_write, SYS_writev,
                                         SYS_pread64, SYS_futex, SYS_fadvise64};
    base::SyscallFilter filter;
    filter.allow(serving);
    filter.allow_memory_and_threads();
    return filter.install();
}

} // namespace

bool enter_sandbox(std::span<const int> keep) noexcept {
    block_signals();
    setsid(); // fails for a leader of a process group, which no terminal signals through us anyway
    // Of the capabilities the bounding set stays: it is of no use to who can never exec again.
    return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 && close_others(keep) &&
           base::drop_all_capabilities() && filter_system_calls();
}

} // namespace slipway::launcher::image_server
