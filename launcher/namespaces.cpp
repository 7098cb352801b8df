// SPDX-License-Identifier: Apache-2.0
#include "launcher/namespaces.hpp"

#include "base/fd.hpp"
#include "base/format.hpp"
#include "base/text.hpp"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>

namespace slipway::launcher {
namespace {

using base::Code;
using base::Result;
using base::Unexpected;

/// A setting that can forbid user namespaces, and the value with which it does.
struct Guard {
    const char* file;
    const char* forbidding;
    const char* advice;
};
constexpr std::array guards{
    Guard{"/proc/sys/user/max_user_namespaces", "0",
          "the kernel setting user.max_user_namespaces is 0; the administrator can raise it"},
    Guard{"/proc/sys/kernel/unprivileged_userns_clone", "0",
          "the kernel setting kernel.unprivileged_userns_clone is 0; the administrator can set it "
          "to 1"},
    Guard{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1",
          "the kernel setting kernel.apparmor_restrict_unprivileged_userns is 1; the administrator "
          "can allow slipway with an AppArmor profile or set it to 0"},
};

/// One at a time, so that an error can name the setting.
struct Kind {
    bool asked;
    int flag;
    const char* setting;
};

std::string advice_for(int err, std::string_view setting) {
    for (const auto& guard : guards) {
        const auto text = base::read_file(guard.file, 64);
        if (text && base::trim(base::split(*text, '\n').front()) == guard.forbidding) {
            return guard.advice;
        }
    }
    if (err == ENOSPC || err == EUSERS) {
        return fmt::format("the kernel setting {} does not allow one more, or too many lie in each "
                           "other; the administrator can raise it",
                           setting);
    }
    return "user namespaces may be forbidden here by a security module, a chroot or an outer "
           "container";
}

Result<void> write_map(const char* file, const std::string& text) {
    auto fd = base::open_file(file, O_WRONLY);
    if (!fd) {
        return Unexpected(userns_error(fd.error().sys_errno, "cannot map the user"));
    }
    if (::write(fd->get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
        return Unexpected(userns_error(errno, "cannot map the user"));
    }
    return {};
}

Result<void> raise_loopback() {
    const base::UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq loopback{};
    std::string_view("lo").copy(loopback.ifr_name, sizeof loopback.ifr_name);
    loopback.ifr_flags = IFF_UP | IFF_RUNNING;
    if (!socket || ::ioctl(socket.get(), SIOCSIFFLAGS, &loopback) != 0) {
        return base::fail_errno(Code::system, errno,
                                "cannot start the loopback device of the container's network");
    }
    return {};
}

} // namespace

base::Error userns_error(int err, std::string_view what, std::string_view setting) {
    return base::Error{Code::userns_unavailable, err,
                       fmt::format("{}: {}", what, base::errno_text(err)),
                       advice_for(err, setting)};
}

Result<void> map_one_user(const UserMap& map) {
    TRY(write_map("/proc/self/setgroups", "deny"));
    TRY(write_map("/proc/self/uid_map", fmt::format("{} {} 1\n", map.uid_inside, map.uid)));
    return write_map("/proc/self/gid_map", fmt::format("{} {} 1\n", map.gid_inside, map.gid));
}

Result<void> enter_own_user_namespace() {
    const uid_t uid = ::geteuid();
    const gid_t gid = ::getegid();
    if (::unshare(CLONE_NEWUSER) != 0) {
        return Unexpected(userns_error(errno, "cannot create a user namespace"));
    }
    TRY(map_one_user({uid, uid, gid, gid}));
    if (::geteuid() != uid || ::getegid() != gid) {
        return base::fail(Code::system,
                          "the user is somebody else after entering a user namespace");
    }
    return {};
}

Result<void> enter_own_mount_namespace() {
    if (::unshare(CLONE_NEWNS) != 0) {
        return Unexpected(
            userns_error(errno, "cannot create a mount namespace", "user.max_mnt_namespaces"));
    }
    return {};
}

Result<void> enter_namespaces(const join::Namespaces& asked) {
    for (const auto& kind : {Kind{asked.ipc, CLONE_NEWIPC, "user.max_ipc_namespaces"},
                             Kind{asked.network, CLONE_NEWNET, "user.max_net_namespaces"},
                             Kind{asked.uts, CLONE_NEWUTS, "user.max_uts_namespaces"}}) {
        if (kind.asked && ::unshare(kind.flag) != 0) {
            return Unexpected(
                userns_error(errno, "cannot create the container's namespaces", kind.setting));
        }
    }
    if (asked.network) {
        TRY(raise_loopback());
    }
    if (!asked.hostname.empty() &&
        ::sethostname(asked.hostname.data(), asked.hostname.size()) != 0) {
        return base::fail_errno(
            Code::option_invalid, errno,
            fmt::format("cannot set the hostname {}", base::in_quotes(asked.hostname)),
            "a hostname has at most 64 characters");
    }
    return {};
}

} // namespace slipway::launcher
