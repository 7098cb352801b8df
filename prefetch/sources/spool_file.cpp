// SPDX-License-Identifier: Apache-2.0
#include "prefetch/sources/spool_file.hpp"

#include "base/path.hpp"
#include "base/text.hpp"

#include <cerrno>
#include <cstdlib>

#include <fcntl.h>
#include <unistd.h>

namespace slipway::prefetch::sources {

base::Result<base::UniqueFd> make_spool_file(const std::string& directory) {
    auto nameless = base::open_file(directory, O_TMPFILE | O_RDWR, 0600);
    if (nameless) {
        return nameless;
    }
    const int err = nameless.error().sys_errno;
    if (err != EOPNOTSUPP && err != EISDIR && err != EINVAL) {
        return nameless;
    }
    auto name = base::join_path(directory, "spool.XXXXXX");
    base::UniqueFd fd(::mkostemp(name.data(), O_CLOEXEC));
    if (!fd) {
        return base::fail_errno(base::Code::io, errno,
                                "cannot make a temporary file in " + base::in_quotes(directory));
    }
    ::unlink(name.c_str());
    return fd;
}

} // namespace slipway::prefetch::sources
