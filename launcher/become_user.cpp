// SPDX-License-Identifier: Apache-2.0
#include "launcher/become_user.hpp"

#include "base/capabilities.hpp"
#include "base/fd.hpp"
#include "launcher/namespaces.hpp"

#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace slipway::launcher {
namespace {

using base::Code;
using base::fail;
using base::fail_errno;
using base::Result;

/// Tasks that eat all memory should go before the server that their files come from; but a hostile
/// image must not make it immune either.
constexpr const char* oom_preference = "-500";

bool ids_are(uid_t uid, gid_t gid) noexcept {
    uid_t ruid = 0;
    uid_t euid = 0;
    uid_t suid = 0;
    gid_t rgid = 0;
    gid_t egid = 0;
    gid_t sgid = 0;
    return ::getresuid(&ruid, &euid, &suid) == 0 && ::getresgid(&rgid, &egid, &sgid) == 0 &&
           ruid == uid && euid == uid && suid == uid && rgid == gid && egid == gid && sgid == gid;
}

/// Which user namespace this is: two processes are in the same one when this is equal.
Result<std::pair<dev_t, ino_t>> user_namespace_id() {
    struct stat st {};
    if (::stat("/proc/self/ns/user", &st) != 0) {
        return fail_errno(Code::system, errno, "cannot look at /proc/self/ns/user",
                          "is /proc mounted on this node?");
    }
    return std::pair{st.st_dev, st.st_ino};
}

} // namespace

Result<void> shed_inheritance(int step_fd, int parent_fd) {
    // Lower than the parent's needs CAP_SYS_RESOURCE, which root may lack in a virtual machine or
    // an outer container: then the value stays as it is.
    const int oom = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (oom >= 0) {
        const auto length = std::char_traits<char>::length(oom_preference);
        if (::write(oom, oom_preference, length) < 0 && errno != EACCES) {
            const int err = errno;
            ::close(oom);
            return fail_errno(Code::system, err, "cannot set oom_score_adj");
        }
        ::close(oom);
    }
    // Between and beyond the two descriptors that are kept nothing may stay open: a forgotten pipe
    // of slurmstepd would keep the step from ending.
    const auto low = static_cast<unsigned>(std::min(step_fd, parent_fd));
    const auto high = static_cast<unsigned>(std::max(step_fd, parent_fd));
    const auto close_range = [](unsigned first, unsigned last) {
        return first > last || ::syscall(SYS_close_range, first, last, 0) == 0;
    };
    if (!close_range(3, low - 1) || !close_range(low + 1, high - 1) ||
        !close_range(high + 1, ~0U)) {
        return fail_errno(Code::system, errno, "cannot close inherited descriptors");
    }
    // Both are kept to this process: the shell that may evaluate an image's scripts gets neither.
    if (::fcntl(step_fd, F_SETFD, FD_CLOEXEC) != 0 ||
        ::fcntl(parent_fd, F_SETFD, FD_CLOEXEC) != 0) {
        return fail_errno(Code::system, errno, "the descriptors given by the plugin are not open");
    }
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return fail_errno(Code::system, errno, "cannot set no_new_privs");
    }
    return {};
}

Result<void> become_user(uid_t uid, gid_t gid) {
    // Without KEEPCAPS the change of the user ids would take all capabilities.
    if (::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) {
        return fail_errno(Code::system, errno, "cannot keep a capability");
    }
    // The group first: after the user there would be no right to change it.
    if (::setresgid(gid, gid, gid) != 0 || ::setresuid(uid, uid, uid) != 0) {
        return fail_errno(Code::system, errno, "cannot become the user");
    }
    if (!ids_are(uid, gid)) {
        return fail(Code::system, "still somebody else after becoming the user");
    }
    TRY(base::keep_only_capabilities(base::capability_bit(CAP_SYS_ADMIN)));
    if (::prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) != 0) {
        return fail_errno(Code::system, errno, "cannot stop keeping capabilities");
    }
    // Nobody with the same uid may trace this process or open its memory and descriptors.
    if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 || ::prctl(PR_GET_DUMPABLE) != 0) {
        return fail_errno(Code::system, errno, "cannot protect this process from being traced");
    }
    return {};
}

Result<void> leave_host_privileges() {
    TRY_ASSIGN(const auto before, user_namespace_id());
    if (::unshare(CLONE_NEWUSER) != 0) {
        return base::Unexpected(userns_error(errno, "cannot create a user namespace"));
    }
    // The kernel gave full capabilities, but in the new namespace only, in which nothing exists yet
    // but this process. That it really is another one:
    TRY_ASSIGN(const auto after, user_namespace_id());
    if (before == after) {
        return fail(Code::system, "no new user namespace after creating one");
    }
    return {};
}

Result<void> verify_identity(uid_t uid, gid_t gid) {
    if (!ids_are(uid, gid)) {
        return fail(Code::system, "the user is somebody else inside the user namespace");
    }
    return {};
}

} // namespace slipway::launcher
