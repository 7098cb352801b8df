// SPDX-License-Identifier: Apache-2.0
#include "cli/images/image_file.hpp"

#include "base/errno_code.hpp"
#include "base/fd.hpp"
#include "base/format.hpp"
#include "base/path.hpp"
#include "base/text.hpp"

#include <cerrno>
#include <cstdio>
#include <utility>

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

namespace slipway::cli::images {
namespace {

using base::Code;
using base::in_quotes;

/// So much between two looks at the stop token.
constexpr std::size_t step = 16U << 20U;

base::Result<void> copy_bytes(int from, int to, const std::string& target, std::stop_token stop) {
    bool in_file_system = true;
    for (;;) {
        if (stop.stop_requested()) {
            return base::fail(Code::interrupted, "interrupted");
        }
        const ssize_t got = in_file_system ? ::copy_file_range(from, nullptr, to, nullptr, step, 0)
                                           : ::sendfile(to, from, nullptr, step);
        if (got == 0) {
            return {};
        }
        if (got > 0 || errno == EINTR) {
            continue;
        }
        // Between file systems, or by old servers; sendfile works from wherever it has come to.
        if (in_file_system && (errno == EXDEV || errno == EINVAL || errno == EOPNOTSUPP ||
                               errno == ENOSYS || errno == EPERM)) {
            in_file_system = false;
            continue;
        }
        return base::fail_write(errno, "cannot write " + in_quotes(target));
    }
}

} // namespace

base::Result<NewFile> NewFile::beside(std::string path) {
    // Better said before an hour of downloading than behind it.
    const std::string directory(base::dir_name(path));
    if (::access(directory.empty() ? "." : directory.c_str(), W_OK | X_OK) != 0) {
        return base::fail_errno(Code::io, errno, "cannot create " + in_quotes(path),
                                "name a file in a directory of your own");
    }
    auto part = fmt::format("{}.new.{}", path, ::getpid());
    // What a process of the same number has left; never somebody else's, for a sticky directory says so.
    if (::unlink(part.c_str()) != 0 && errno != ENOENT) {
        return base::fail_errno(Code::io, errno, "cannot write beside " + in_quotes(path));
    }
    return NewFile(std::move(path), std::move(part));
}

NewFile::NewFile(NewFile&& other) noexcept
    : path_(std::move(other.path_)), part_(std::exchange(other.part_, {})) {}

NewFile::~NewFile() {
    if (!part_.empty()) {
        ::unlink(part_.c_str());
    }
}

base::Result<void> NewFile::copy_from(int source, std::stop_token stop) {
    auto to = base::open_file(part_, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0777);
    if (!to) {
        return base::fail_write(to.error().sys_errno, "cannot create " + in_quotes(path_));
    }
    if (::ioctl(to->get(), FICLONE, source) != 0) {
        TRY(copy_bytes(source, to->get(), path_, stop));
    }
    // A file server may report a full quota only here.
    return to->close();
}

base::Result<void> NewFile::publish(bool replace) {
    if (::renameat2(AT_FDCWD, part_.c_str(), AT_FDCWD, path_.c_str(),
                    replace ? 0 : RENAME_NOREPLACE) == 0) {
        part_.clear();
        return {};
    }
    int err = errno;
    // File servers cannot always do it that way; then the file has two names for a moment.
    if (err == EINVAL && !replace) {
        if (::link(part_.c_str(), path_.c_str()) == 0) {
            return {};
        }
        err = errno;
    }
    if (err == EEXIST) {
        return base::fail_errno(Code::image_exists, err, in_quotes(path_) + " exists already",
                                "--force overwrites it");
    }
    return base::fail_write(err, "cannot create " + in_quotes(path_));
}

} // namespace slipway::cli::images
