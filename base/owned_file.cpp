// SPDX-License-Identifier: Apache-2.0
#include "base/owned_file.hpp"

#include "base/format.hpp"
#include "base/text.hpp"

#include <cerrno>

#include <fcntl.h>

namespace slipway::base {

std::string owner_fault(const struct stat& facts, uid_t owner) {
    if (facts.st_uid != owner) {
        return fmt::format("belongs to uid {}, not to uid {}", facts.st_uid, owner);
    }
    if ((facts.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        return fmt::format("may be written to by others (mode {:04o})",
                           facts.st_mode & 07777U);
    }
    return {};
}

Result<UniqueFd> open_owned(int directory, const std::string& name, int flags, uid_t owner,
                            const std::string& whole, Code insecure) {
    const mode_t wanted = (flags & O_DIRECTORY) != 0 ? S_IFDIR : S_IFREG;
    const auto another_kind = [&] {
        return fail(insecure,
                    fmt::format("{} is no {}", in_quotes(whole),
                                wanted == S_IFDIR ? "directory" : "regular file"),
                    "move it away");
    };
    struct stat facts {};
    if (wanted == S_IFREG && ::fstatat(directory, name.c_str(), &facts, AT_SYMLINK_NOFOLLOW) == 0 &&
        !S_ISREG(facts.st_mode)) {
        return another_kind();
    }
    // O_NONBLOCK: a FIFO or a device may have the name by now.
    auto opened = open_at(directory, name, flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (!opened) {
        const int err = opened.error().sys_errno;
        if (err == ELOOP || err == ENXIO || (err == ENOTDIR && wanted == S_IFDIR)) {
            return another_kind();
        }
        return fail_errno(Code::io, err, "cannot open " + in_quotes(whole));
    }
    if (::fstat(opened->get(), &facts) != 0) {
        return fail_errno(Code::io, errno, "cannot look at " + in_quotes(whole));
    }
    if ((facts.st_mode & S_IFMT) != wanted) {
        return another_kind();
    }
    if (const auto fault = owner_fault(facts, owner); !fault.empty()) {
        return fail(insecure, fmt::format("{} {}", in_quotes(whole), fault),
                    facts.st_uid != owner ? fmt::format("chown {} {}", owner, whole)
                                          : fmt::format("chmod go-w {}", whole));
    }
    return opened;
}

} // namespace slipway::base
