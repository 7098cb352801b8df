// SPDX-License-Identifier: Apache-2.0
#include "cli/images/image_file.hpp"

#include "base/copy_file.hpp"
#include "base/directory.hpp"
#include "base/errno_code.hpp"
#include "base/fd.hpp"
#include "base/format.hpp"
#include "base/path.hpp"
#include "base/process_mark.hpp"
#include "base/text.hpp"

#include <cerrno>
#include <cstdio>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace slipway::cli::images {

using base::Code;
using base::in_quotes;

namespace {

constexpr std::string_view infix = ".new.";

/// What killed processes of this user have left beside `name`: "<name>.new.<mark>", and behind that what the
/// stager adds while it writes.
void remove_leftovers(const std::string& directory, const std::string& name) {
    const auto prefix = name + std::string(infix);
    for (const auto& other : base::names_in(directory).value_or(std::vector<std::string>())) {
        if (!other.starts_with(prefix)) {
            continue;
        }
        auto mark = std::string_view(other).substr(prefix.size());
        mark = mark.substr(0, mark.find(".part."));
        const auto path = base::join_path(directory, other);
        struct stat facts {};
        if (base::is_mark_of_ended(mark) && ::lstat(path.c_str(), &facts) == 0 &&
            S_ISREG(facts.st_mode) && facts.st_uid == ::geteuid()) {
            ::unlink(path.c_str());
        }
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
    remove_leftovers(directory.empty() ? "." : directory, std::string(base::base_name(path)));
    auto part = path + std::string(infix) + base::process_mark();
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
    struct stat st {};
    if (::fstat(source, &st) != 0) {
        return base::fail_errno(Code::io, errno, "cannot look at the image in the store");
    }
    auto copied = base::copy_file(source, to->get(), static_cast<std::uint64_t>(st.st_size), stop);
    if (!copied) {
        return base::Unexpected(std::move(copied).error().context("writing " + in_quotes(path_)));
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
