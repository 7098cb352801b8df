// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "squashfs/reader/image.hpp"

#include <pthread.h>
#include <sys/types.h>

#include <atomic>
#include <mutex>

namespace slipway::launcher::image_server {

/// Answers the kernel's FUSE requests (protocol 7.23 and newer) for one image. Node ids are made
/// from inode references, so nothing has to be remembered about what the kernel knows.
class Session {
  public:
    struct Options {
        int fuse_fd = -1;
        unsigned threads = 1; ///< at most; only as many as the load keeps busy are started
        uid_t uid = 0;        ///< owner of every file
        gid_t gid = 0;
        std::size_t page_bytes = 4096; ///< of the kernel
    };
    Session(squashfs::reader::Image& image, const Options& options) noexcept
        : image_(image), options_(options) {}
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    /// Serves until the mount is gone, which is 0; else the errno that made going on impossible. A
    /// request that memory is too short for is answered so and ends nothing; std::bad_alloc comes
    /// only before the first request.
    int run();

    /// Facts that all threads share once INIT has been answered.
    struct Features {
        bool no_open = false;    ///< ENOSYS makes the kernel open files without asking
        bool no_opendir = false; ///< the same for opendir()
    };

  private:
    friend class Worker;

    int work();
    void add_thread() noexcept;
    static void* thread_main(void* session) noexcept;

    squashfs::reader::Image& image_;
    Options options_;
    Features features_;
    std::atomic<unsigned> idle_{0};
    std::atomic<unsigned> busy_moments_{0};
    std::mutex threads_mutex_;
    std::vector<pthread_t> threads_;
    bool ended_ = false; ///< no further threads
};

} // namespace slipway::launcher::image_server
