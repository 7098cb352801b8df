// SPDX-License-Identifier: Apache-2.0
#include "base/copy_file.hpp"

#include "base/errno_code.hpp"

#include <algorithm>
#include <cerrno>

#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <unistd.h>

namespace slipway::base {
namespace {

/// So much between two looks at the stop token.
constexpr std::uint64_t step = 16U << 20U;

Unexpected too_short() {
    return fail(Code::io, "the file that is copied became shorter");
}

/// The same without copying a byte; false where that is not possible.
Result<bool> share_blocks(int from, int to, std::uint64_t size) {
    if (::lseek(to, 0, SEEK_CUR) != 0 || ::ioctl(to, FICLONE, from) != 0) {
        return false;
    }
    const off_t end = ::lseek(to, 0, SEEK_END);
    if (end < 0 || static_cast<std::uint64_t>(end) < size) {
        return too_short();
    }
    if (static_cast<std::uint64_t>(end) > size && ::ftruncate(to, static_cast<off_t>(size)) != 0) {
        return fail_errno(Code::io, errno, "cannot copy the file");
    }
    return true;
}

} // namespace

Result<void> copy_file(int from, int to, std::uint64_t size, const std::stop_token& stop,
                       const std::function<void(std::uint64_t)>& progress) {
    TRY_ASSIGN(const bool shared, share_blocks(from, to, size));
    if (shared) {
        return {};
    }
    bool in_file_system = true;
    std::uint64_t done = 0;
    while (done < size) {
        if (stop.stop_requested()) {
            return fail(Code::interrupted, "interrupted");
        }
        const auto part = static_cast<std::size_t>(std::min(step, size - done));
        auto at = static_cast<off_t>(done);
        const ssize_t got = in_file_system ? ::copy_file_range(from, &at, to, nullptr, part, 0)
                                           : ::sendfile(to, from, &at, part);
        if (got > 0) {
            done += static_cast<std::uint64_t>(got);
            if (progress) {
                progress(done);
            }
        } else if (got == 0) {
            return too_short();
        } else if (in_file_system && (errno == EXDEV || errno == EINVAL || errno == EOPNOTSUPP ||
                                      errno == ENOSYS || errno == EPERM)) {
            in_file_system = false; // between file systems, or by old servers
        } else if (errno != EINTR) {
            return fail_write(errno, "cannot copy the file");
        }
    }
    return {};
}

} // namespace slipway::base
