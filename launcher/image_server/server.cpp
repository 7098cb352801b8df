// SPDX-License-Identifier: Apache-2.0
#include "launcher/image_server/server.hpp"

#include "launcher/image_server/sandbox.hpp"
#include "launcher/image_server/session.hpp"

#include <algorithm>
#include <cerrno>
#include <new>

#include <malloc.h>
#include <poll.h>
#include <sched.h>
#include <unistd.h>

namespace slipway::launcher::image_server {
namespace {

constexpr unsigned max_threads = 16;
constexpr std::size_t watcher_stack_bytes = 64U << 10U;

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

/// Ends the process when the watched one has ended. The descriptor comes in the pointer.
void* watch_parent(void* argument) noexcept {
    pollfd waiting{static_cast<int>(reinterpret_cast<std::intptr_t>(argument)), POLLIN, 0};
    for (;;) {
        if (::poll(&waiting, 1, -1) > 0) {
            leave(ServerExit::mount_gone);
        }
    }
}

bool start_watcher(int pidfd) noexcept {
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0) {
        return false;
    }
    pthread_attr_setstacksize(&attributes, watcher_stack_bytes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_t thread{};
    auto* argument = reinterpret_cast<void*>(static_cast<std::intptr_t>(pidfd));
    const bool started = pthread_create(&thread, &attributes, &watch_parent, argument) == 0;
    pthread_attr_destroy(&attributes);
    return started;
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

} // namespace

void serve(squashfs::Image& image, const ServerOptions& options) noexcept {
    // One heap for all threads: they seldom ask for memory, and every further heap keeps some.
    mallopt(M_ARENA_MAX, 1);
    const unsigned threads = thread_count(options.threads);
    const int keep[] = {options.fuse_fd, options.image_fd, options.parent_pidfd, options.start_fd};
    if (!enter_sandbox(keep)) {
        leave(ServerExit::sandbox);
    }
    try {
        Session session(image, {options.fuse_fd, threads, options.report_uid, options.report_gid});
        if (options.parent_pidfd >= 0 && !start_watcher(options.parent_pidfd)) {
            leave(ServerExit::no_memory);
        }
        if (options.start_fd >= 0 && !wait_for_start(options.start_fd)) {
            leave(ServerExit::mount_gone);
        }
        const int error = session.run();
        leave(error == 0 ? ServerExit::mount_gone
                         : error == ENOMEM ? ServerExit::no_memory : ServerExit::device);
    } catch (const std::bad_alloc&) {
        leave(ServerExit::no_memory);
    }
}

} // namespace slipway::launcher::image_server
