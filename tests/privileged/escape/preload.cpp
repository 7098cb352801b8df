// SPDX-License-Identifier: Apache-2.0
// A library that writes down which program has loaded it, as whom, beside itself: FILE.log.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>

namespace {

[[gnu::constructor]] void loaded() {
    Dl_info self{};
    char program[4096] = {};
    char line[4200];
    if (::dladdr(reinterpret_cast<void*>(&loaded), &self) == 0 ||
        ::readlink("/proc/self/exe", program, sizeof program - 1) < 0) {
        return;
    }
    std::snprintf(line, sizeof line, "%s.log", self.dli_fname);
    const int fd = ::open(line, O_WRONLY | O_APPEND | O_CLOEXEC);
    const int length =
        std::snprintf(line, sizeof line, "%d %s\n", static_cast<int>(::geteuid()), program);
    (void)!::write(fd, line, static_cast<std::size_t>(length));
    ::close(fd);
}

} // namespace
