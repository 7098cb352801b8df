// SPDX-License-Identifier: Apache-2.0
#include "prefetch/sources/spool_file.hpp"

#include "base/format.hpp"

#include <atomic>
#include <cerrno>

#include <fcntl.h>
#include <unistd.h>

namespace slipway::prefetch::sources {

base::Result<base::UniqueFd> make_spool_file(int directory) {
    auto nameless = base::open_at(directory, ".", O_TMPFILE | O_RDWR, 0600);
    if (nameless) {
        return nameless;
    }
    const int err = nameless.error().sys_errno;
    if (err == EOPNOTSUPP || err == EISDIR || err == EINVAL) {
        static std::atomic<unsigned> counter{0};
        const auto name = fmt::format("spool.{}.{}", ::getpid(), counter.fetch_add(1));
        auto named =
            base::open_at(directory, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
        if (named) {
            ::unlinkat(directory, name.c_str(), 0);
            return named;
        }
        nameless = std::move(named);
    }
    return base::fail_errno(base::Code::io, nameless.error().sys_errno,
                            "cannot make a temporary file");
}

} // namespace slipway::prefetch::sources
