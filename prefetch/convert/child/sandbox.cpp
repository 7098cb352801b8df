// SPDX-License-Identifier: Apache-2.0
#include "prefetch/convert/child/sandbox.hpp"

#include "base/capabilities.hpp"
#include "base/seccomp.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace slipway::prefetch::convert {

using base::Code;
using base::fail_errno;
using base::Result;

namespace {

constexpr rlim_t most_descriptors = 64; ///< two for each of five layers at once, and a few

constexpr rlim_t cpu_grace = 5;         ///< seconds between SIGXCPU, which names the cause, and SIGKILL

constexpr std::uint32_t conversion_calls[] = {
    SYS_read,  SYS_write,     SYS_pread64, SYS_pwrite64, SYS_lseek,
    SYS_close, SYS_ftruncate, SYS_recvmsg, SYS_ppoll,   SYS_fadvise64,
#ifdef SYS_poll
    SYS_poll,
#endif
};

bool filter_system_calls() noexcept {
    base::SyscallFilter filter;
    // Before the general rule for mmap: nothing shared, nothing from a file.
    filter.require(SYS_mmap, 3, MAP_SHARED | MAP_ANONYMOUS, MAP_ANONYMOUS);
    filter.allow_memory_and_threads();
    filter.allow(conversion_calls);
    filter.allow_masked(SYS_prlimit64, 0, UINT32_MAX, 0); // lowers its own limits
    filter.allow_masked(SYS_prctl, 0, UINT32_MAX, PR_SET_NAME);
    return filter.install();
}

/// Signals that are meant for the parent reach us, too (a terminal's whole process group): the
/// parent decides what they mean. Those that the kernel raises about us end us all the same.
void block_signals() noexcept {
    sigset_t signals;
    sigfillset(&signals);
    sigdelset(&signals, SIGXCPU);
    sigprocmask(SIG_SETMASK, &signals, nullptr);
    std::signal(SIGXFSZ, SIG_IGN); // write(2) says EFBIG
}

/// `grace`: how far the limit that ends the process lies behind the one that warns it.
Result<void> bound(int resource, rlim_t most, rlim_t grace = 0) {
    rlimit limit{};
    if (::getrlimit(static_cast<__rlimit_resource_t>(resource), &limit) != 0) {
        return fail_errno(Code::system, errno, "cannot read a limit of the conversion");
    }
    limit.rlim_cur = std::min(limit.rlim_cur, most);
    limit.rlim_max = std::min(limit.rlim_max, limit.rlim_cur + grace);
    if (::setrlimit(static_cast<__rlimit_resource_t>(resource), &limit) != 0) {
        return fail_errno(Code::system, errno, "cannot set a limit of the conversion");
    }
    return {};
}

} // namespace

Result<void> enter_sandbox() {
    block_signals();
    ::prctl(PR_SET_DUMPABLE, 0);
    TRY(bound(RLIMIT_NOFILE, most_descriptors));
    TRY(bound(RLIMIT_CORE, 0));
    base::drop_bounding_set();
    TRY(base::drop_all_capabilities());
    // After the drop: a change of credentials could clear it.
    if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) {
        return fail_errno(Code::system, errno, "cannot bind the conversion to its parent");
    }
    if (base::sandbox_possible && !filter_system_calls()) {
        return fail_errno(Code::system, errno, "cannot filter the system calls of the conversion");
    }
    return {};
}

Result<void> set_bounds(const Bounds& bounds) {
    if (!base::sandbox_possible) {
        return {};
    }
    TRY(bound(RLIMIT_DATA, bounds.data_bytes));
    TRY(bound(RLIMIT_FSIZE, bounds.file_bytes));
    return bound(RLIMIT_CPU, bounds.cpu_seconds, cpu_grace);
}

} // namespace slipway::prefetch::convert
