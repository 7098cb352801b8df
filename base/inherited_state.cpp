// SPDX-License-Identifier: Apache-2.0
#include "base/inherited_state.hpp"

#include <cerrno>
#include <csignal>

#include <fcntl.h>
#include <unistd.h>

namespace slipway::base {

namespace {

void open_standard_descriptors() noexcept {
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
        if (::fcntl(fd, F_GETFD) >= 0 || errno != EBADF) {
            continue;
        }
        // The lowest free number is taken, and that is this one. Without /dev/null anything that
        // is never read or written by mistake will do.
        if (::open("/dev/null", O_RDWR) < 0) { // NOLINT: children inherit it
            (void)!::open("/", O_PATH);        // NOLINT
        }
    }
}

} // namespace

void repair_inherited_state() noexcept {
    open_standard_descriptors();
    ::signal(SIGCHLD, SIG_DFL); // NOLINT: no handler is set
}

} // namespace slipway::base
