// SPDX-License-Identifier: Apache-2.0
#include "launcher/stage.hpp"

#include "base/format.hpp"
#include "launcher/mount_calls.hpp"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <cerrno>

namespace slipway::launcher {

using base::Code;
using base::fail_errno;
using base::Result;
using base::UniqueFd;

Result<UniqueFd> make_stage() {
    TRY_ASSIGN(
        auto stage,
        new_filesystem("tmpfs", {{"source", "slipway"}, {"mode", "0755"}, {"size", "64m"}}, {}));
    base::Error last;
    for (const char* place : {"/tmp", "/mnt", "/var", "/opt", "/usr"}) {
        const UniqueFd target(::open(place, O_PATH | O_DIRECTORY | O_CLOEXEC));
        if (!target) {
            continue;
        }
        auto done = attach(stage.get(), target.get(), place);
        if (done) {
            return stage;
        }
        last = std::move(done).error();
    }
    return base::Unexpected(std::move(last).context("no place to put the container together"));
}

Result<UniqueFd> stage_directory(int stage, const std::string& name) {
    if (::mkdirat(stage, name.c_str(), 0755) != 0) {
        return fail_errno(Code::mount_failed, errno, "cannot make a directory in a new tmpfs");
    }
    return base::open_at(stage, name, O_PATH | O_DIRECTORY | O_NOFOLLOW);
}

Result<void> remove_stage(int stage) {
    if (::umount2(fmt::format("/proc/self/fd/{}", stage).c_str(), MNT_DETACH) != 0) {
        return fail_errno(Code::mount_failed, errno,
                          "cannot take away what the root directory was put together in");
    }
    return {};
}

} // namespace slipway::launcher
