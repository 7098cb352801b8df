// SPDX-License-Identifier: Apache-2.0
#include "base/pipe.hpp"

#include <cerrno>

#include <fcntl.h>
#include <unistd.h>

namespace slipway::base {

Result<Pipe> make_pipe() {
    int ends[2] = {-1, -1};
    if (::pipe2(ends, O_CLOEXEC) != 0) {
        return fail_errno(Code::system, errno, "cannot make a pipe");
    }
    return Pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

} // namespace slipway::base
