// SPDX-License-Identifier: Apache-2.0
#include "launcher/fake_root.hpp"

#include "base/child.hpp"
#include "base/format.hpp"
#include "base/pipe.hpp"
#include "base/seccomp.hpp"
#include "base/text.hpp"
#include "launcher/namespaces.hpp"

#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <optional>

namespace slipway::launcher {
namespace {

using base::Code;
using base::fail;
using base::fail_errno;
using base::Result;

constexpr std::size_t max_id_file = 64U << 20U;
/// Calls that need other users than root.
constexpr std::uint32_t pretended[] = {
    SYS_fchown,    SYS_fchownat,  SYS_setgroups, SYS_setuid,   SYS_setgid,   SYS_setreuid,
    SYS_setregid,  SYS_setresuid, SYS_setresgid, SYS_setfsuid, SYS_setfsgid,
#ifdef SYS_chown // not on newer processors
    SYS_chown,     SYS_lchown,
#endif
};

bool pretend_other_users() noexcept {
    base::SyscallFilter filter;
    filter.pretend(pretended);
    for (const std::uint32_t device : {S_IFCHR, S_IFBLK}) {
        filter.pretend_masked(SYS_mknodat, 2, S_IFMT, device);
#ifdef SYS_mknod
        filter.pretend_masked(SYS_mknod, 1, S_IFMT, device);
#endif
    }
    return filter.install(base::OtherCalls::work);
}

struct Range {
    std::uint32_t first = 0;
    std::uint32_t count = 0;
};

/// The caller's first line in /etc/subuid or /etc/subgid, "NAME-OR-UID:FIRST:COUNT" (subuid(5)).
std::optional<Range> range_in(const char* file, const UserFacts& caller) {
    const auto text = base::read_file(file, max_id_file);
    if (!text) {
        return std::nullopt;
    }
    const auto number = std::to_string(caller.uid);
    for (const auto line : base::split(*text, '\n')) {
        const auto fields = base::split(base::trim(line), ':');
        if (fields.size() != 3 || (fields[0] != caller.name && fields[0] != number)) {
            continue;
        }
        const auto first = base::parse_u64(fields[1], UINT32_MAX);
        const auto count = base::parse_u64(fields[2], UINT32_MAX);
        if (first && count && *count != 0) {
            return Range{static_cast<std::uint32_t>(*first), static_cast<std::uint32_t>(*count)};
        }
    }
    return std::nullopt;
}

struct Mapper {
    const char* program;
    const char* file;
    std::uint32_t own; ///< id that becomes 0
};

/// `newuidmap PID 0 OWN 1 1 FIRST COUNT`; the program checks what the administrator allows.
Result<void> map_ranges(const Mapper& mapper, pid_t pid, const Range& range) {
    base::Child::Spawn what;
    what.program = mapper.program;
    what.arguments = {mapper.program,
                      std::to_string(pid),
                      "0",
                      std::to_string(mapper.own),
                      "1",
                      "1",
                      std::to_string(range.first),
                      std::to_string(range.count)};
    TRY_ASSIGN(auto child, base::Child::spawn(what));
    TRY_ASSIGN(const auto status, child.wait());
    if (status != 0) {
        return fail(Code::userns_unavailable,
                    fmt::format("{} refused the ids that {} gives", mapper.program, mapper.file),
                    "the administrator can mend the file, or take the line out of it");
    }
    return {};
}

struct Ranges {
    Range users;
    Range groups;
};

/// The part of the child that stays outside, where the programs may give ids away.
int map_from_outside(int start, pid_t pid, const std::array<Mapper, 2>& mappers,
                     const Ranges& ranges) {
    char go = 0;
    if (::read(start, &go, 1) != 1) {
        return 1;
    }
    return map_ranges(mappers[0], pid, ranges.users) && map_ranges(mappers[1], pid, ranges.groups)
               ? 0
               : 1;
}

std::array<Mapper, 2> mappers_of(const UserFacts& caller) {
    return {Mapper{"/usr/bin/newuidmap", "/etc/subuid", caller.uid},
            Mapper{"/usr/bin/newgidmap", "/etc/subgid", caller.gid}};
}

/// None where one of files, lines or programs is missing.
std::optional<Ranges> ranges_of(const UserFacts& caller, const std::array<Mapper, 2>& mappers) {
    for (const auto& mapper : mappers) {
        if (::access(mapper.program, X_OK) != 0) {
            return std::nullopt;
        }
    }
    const auto users = range_in(mappers[0].file, caller);
    const auto groups = range_in(mappers[1].file, caller);
    return users && groups ? std::optional(Ranges{*users, *groups}) : std::nullopt;
}

Result<void> unshare_users() {
    if (::unshare(CLONE_NEWUSER) != 0) {
        return base::Unexpected(userns_error(errno, "cannot create a user namespace"));
    }
    return {};
}

Result<void> enter_with_ranges(const std::array<Mapper, 2>& mappers, const Ranges& ranges) {
    TRY_ASSIGN(auto start, base::make_pipe());
    const pid_t self = ::getpid();
    TRY_ASSIGN(auto outside, base::Child::fork([&] {
                   start.writer.reset();
                   return map_from_outside(start.reader.get(), self, mappers, ranges);
               }));
    TRY(unshare_users());
    TRY(base::write_all(start.writer.get(), "x"));
    TRY_ASSIGN(const auto status, outside.wait());
    if (status != 0) {
        return fail(Code::userns_unavailable,
                    "cannot map the users and groups of /etc/subuid and /etc/subgid",
                    "the lines above say why; without lines for this user in these files there is "
                    "root alone");
    }
    return {};
}

} // namespace

Result<RootMapping> enter_root_user_namespace(const UserFacts& caller) {
    const auto mappers = mappers_of(caller);
    const auto ranges = ranges_of(caller, mappers);
    if (ranges) {
        TRY(enter_with_ranges(mappers, *ranges));
    } else {
        TRY(unshare_users());
        TRY(map_one_user({0, caller.uid, 0, caller.gid}));
    }
    if (::geteuid() != 0 || ::getegid() != 0) {
        return fail(Code::system, "the user is not root after entering a user namespace");
    }
    return ranges ? RootMapping::ranges : RootMapping::single;
}

UserFacts root_facts(const UserFacts& caller) {
    UserFacts root;
    root.name = "root";
    root.gecos = "root";
    root.home = "/root";
    root.shell = caller.shell;
    root.host_home = caller.home;
    root.groups = {{0, "root"}};
    return root;
}

Result<void> keep_root_privileges(RootMapping mapping) {
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return fail_errno(Code::system, errno, "cannot set no_new_privs");
    }
    if (mapping == RootMapping::single && !pretend_other_users()) {
        return fail_errno(Code::system, errno, "cannot set the filter of --fakeroot");
    }
    return {};
}

} // namespace slipway::launcher
