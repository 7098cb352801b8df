// SPDX-License-Identifier: Apache-2.0
#include "launcher/read_ahead.hpp"

#include "base/fd.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace slipway::launcher {
namespace {

/// The program interpreters of the psABIs; one of musl is its C library as well.
constexpr const char* loaders[] = {
#if defined(__x86_64__)
    "/lib64/ld-linux-x86-64.so.2",
    "/lib/ld-musl-x86_64.so.1",
#elif defined(__aarch64__)
    "/lib/ld-linux-aarch64.so.1",
    "/lib/ld-musl-aarch64.so.1",
#elif defined(__powerpc64__)
    "/lib64/ld64.so.2",
    "/lib/ld-musl-powerpc64le.so.1",
#endif
};

/// The kernel reads no more at once than its read-ahead window, 128 KiB unless an administrator has
/// changed it.
constexpr off_t window = 128 * 1024;
/// No C library is larger; a file that a user has put in its place may be.
constexpr off_t max_bytes = 4 * 1024 * 1024;

base::UniqueFd read_ahead(const char* path) noexcept {
    base::UniqueFd file(::open(path, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC));
    struct stat about {};
    if (file && ::fstat(file.get(), &about) == 0) {
        for (off_t at = 0; at < std::min(about.st_size, max_bytes); at += window) {
            (void)::posix_fadvise(file.get(), at, window, POSIX_FADV_WILLNEED);
        }
    }
    return file;
}

/// glibc's C library lies beside its loader, wherever symlinks have led.
void read_ahead_neighbour(const char* loader) noexcept {
    std::array<char, PATH_MAX> real{};
    if (::realpath(loader, real.data()) == nullptr) {
        return;
    }
    char* name = std::strrchr(real.data(), '/') + 1;
    const auto room = real.size() - static_cast<std::size_t>(name - real.data());
    if (static_cast<std::size_t>(std::snprintf(name, room, "libc.so.6")) < room) {
        read_ahead(real.data());
    }
}

} // namespace

void read_ahead_loader() noexcept {
    for (const char* loader : loaders) {
        if (read_ahead(loader)) {
            read_ahead_neighbour(loader);
            return;
        }
    }
}

} // namespace slipway::launcher
