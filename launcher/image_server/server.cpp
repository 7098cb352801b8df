// SPDX-License-Identifier: Apache-2.0
#include "launcher/image_server/server.hpp"

#include "base/barrier.hpp"
#include "base/format.hpp"
#include "base/text.hpp"
#include "launcher/image_server/report.hpp"
#include "launcher/image_server/sandbox.hpp"
#include "launcher/image_server/session.hpp"

#include <malloc.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

namespace slipway::launcher::image_server {
namespace {

constexpr unsigned max_threads = 16;

[[noreturn]] void leave(ServerExit code) noexcept {
    _exit(static_cast<int>(code));
}

unsigned thread_count(unsigned asked) noexcept {
    if (asked != 0) {
        return asked;
    }
    cpu_set_t set;
    CPU_ZERO(&set);
    const int processors = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 4;
    // Two even on one processor: while one waits for the disk another can answer from memory.
    return std::clamp(static_cast<unsigned>(processors), 2U, max_threads);
}

/// True when the byte came, false when the other side closed without it.
bool wait_for_start(int fd) noexcept {
    char byte = 0;
    ssize_t got = 0;
    do {
        got = ::read(fd, &byte, 1);
    } while (got < 0 && errno == EINTR);
    return got == 1;
}

struct Opened {
    image::ImageFile file;
    std::unique_ptr<squashfs::reader::Image> image; ///< empty when the root is no SquashFS
};

base::Result<Opened> open_root(const ServedImage& served) {
    Opened opened;
    TRY_ASSIGN(opened.file, image::identify_image(served.fd, served.size, served.path));
    if (opened.file.roots.size() == 1 && opened.file.roots[0].fs == image::SifFs::squashfs) {
        const auto& root = opened.file.roots[0];
        auto image = squashfs::reader::Image::open(served.fd, root.offset, root.size);
        if (!image) {
            return base::Unexpected(std::move(image).error().context(
                fmt::format("image {}", base::in_quotes(served.path))));
        }
        opened.image = std::move(*image);
    }
    return opened;
}

/// What the other side decides about. A refused report shows as a closed socket.
void report(int control_fd, const base::Result<Opened>& opened) {
    const auto packet =
        encode_report(opened ? base::Result<image::ImageFile>(opened->file)
                             : base::Result<image::ImageFile>(base::Unexpected(opened.error())));
    [[maybe_unused]] const ssize_t ignored = ::write(control_fd, packet.data(), packet.size());
}

void serve_in_sandbox(const ServedImage& served, const ServerOptions& options, unsigned threads) {
    const auto opened = open_root(served);
    report(options.control_fd, opened);
    if (!wait_for_start(options.control_fd) || !opened || !opened->image) {
        return;
    }
    Session session(*opened->image,
                    {options.fuse_fd, threads, options.report_uid, options.report_gid,
                     static_cast<std::size_t>(sysconf(_SC_PAGESIZE))});
    const int error = session.run();
    if (error != 0) {
        leave(error == ENOMEM ? ServerExit::no_memory : ServerExit::device);
    }
}

} // namespace

void serve(const ServedImage& served, const ServerOptions& options) noexcept {
    // One heap for all threads: they seldom ask for memory, and every further heap keeps some.
    mallopt(M_ARENA_MAX, 1);
    const unsigned threads = thread_count(options.threads);
    const int keep[] = {options.fuse_fd, served.fd, options.control_fd};
    if (!enter_sandbox(keep)) {
        leave(ServerExit::sandbox);
    }
    // Only memory can be short: what an image holds is answered with an error, by a report.
    if (!base::completes([&] { serve_in_sandbox(served, options, threads); })) {
        leave(ServerExit::no_memory);
    }
    leave(ServerExit::mount_gone);
}

} // namespace slipway::launcher::image_server
