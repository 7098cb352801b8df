// SPDX-License-Identifier: Apache-2.0
#include "base/capabilities.hpp"

#include <cerrno>

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace slipway::base {
namespace {

constexpr int capability_limit = 64; ///< more than any kernel has

Result<void> verify(std::uint64_t kept) {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct now[_LINUX_CAPABILITY_U32S_3]{};
    if (::syscall(SYS_capget, &header, now) != 0) {
        return fail_errno(Code::system, errno, "cannot read capabilities back");
    }
    for (unsigned half = 0; half < _LINUX_CAPABILITY_U32S_3; ++half) {
        const auto bits = static_cast<std::uint32_t>(kept >> (32U * half));
        if (now[half].permitted != bits || now[half].effective != bits ||
            now[half].inheritable != 0) {
            return fail(Code::system, "capabilities are not as they were set");
        }
    }
    for (int capability = 0; capability < capability_limit; ++capability) {
        const int ambient = ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, capability, 0, 0);
        if (ambient < 0) {
            break; // past the last capability of this kernel
        }
        if (ambient != 0) {
            return fail(Code::system, "ambient capabilities are left after dropping them");
        }
    }
    return {};
}

} // namespace

Result<void> keep_only_capabilities(std::uint64_t kept) {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3]{};
    for (unsigned half = 0; half < _LINUX_CAPABILITY_U32S_3; ++half) {
        const auto bits = static_cast<std::uint32_t>(kept >> (32U * half));
        sets[half].permitted = bits;
        sets[half].effective = bits;
        sets[half].inheritable = 0; // nothing goes through execve; the ambient set follows
    }
    if (::syscall(SYS_capset, &header, sets) != 0) {
        return fail_errno(Code::system, errno, "cannot drop capabilities");
    }
    return verify(kept);
}

void drop_bounding_set() noexcept {
    for (int capability = 0; capability < capability_limit; ++capability) {
        if (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) {
            return; // EPERM: never had CAP_SETPCAP. EINVAL: past the last one of this kernel
        }
    }
}

} // namespace slipway::base
