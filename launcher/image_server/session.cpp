// SPDX-License-Identifier: Apache-2.0
#include "launcher/image_server/session.hpp"

#include "base/barrier.hpp"
#include "launcher/image_server/worker.hpp"

#include <cerrno>

namespace slipway::launcher::image_server {
namespace {

/// A thread is added when so many requests found nobody else waiting for the next one.
constexpr unsigned busy_before_growing = 4;
constexpr std::size_t stack_bytes = 256U << 10U;

} // namespace

int Session::run() {
    threads_.reserve(options_.threads);
    const int error = work();
    // What ended this thread, the end of the mount or a broken device, ends the others too.
    for (;;) {
        pthread_t thread{};
        {
            const std::lock_guard lock(threads_mutex_);
            ended_ = true;
            if (threads_.empty()) {
                return error;
            }
            thread = threads_.back();
            threads_.pop_back();
        }
        pthread_join(thread, nullptr);
    }
}

int Session::work() {
    const auto worker = std::make_unique<Worker>(*this);
    if (!worker->ready()) {
        return ENOMEM;
    }
    for (;;) {
        idle_.fetch_add(1, std::memory_order_relaxed);
        int error = 0;
        const std::size_t bytes = worker->receive(error);
        const bool alone = idle_.fetch_sub(1, std::memory_order_relaxed) == 1;
        if (bytes == 0) {
            return error == ENODEV ? 0 : error;
        }
        if (error = worker->handle(bytes); error != 0) {
            return error;
        }
        // Growing comes after the answer: the first request of a job does not pay for it.
        if (alone && busy_moments_.fetch_add(1, std::memory_order_relaxed) % busy_before_growing ==
                         busy_before_growing - 1) {
            add_thread();
        }
    }
}

void* Session::thread_main(void* session) noexcept {
    // Without the memory for a further thread those that are there go on.
    (void)base::completes([&] { static_cast<Session*>(session)->work(); });
    return nullptr;
}

void Session::add_thread() noexcept {
    const std::lock_guard lock(threads_mutex_);
    if (ended_ || threads_.size() + 1 >= options_.threads) {
        return;
    }
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0) {
        return;
    }
    pthread_attr_setstacksize(&attributes, stack_bytes);
    pthread_t thread{};
    // Without a further thread (limits of the job) the ones that are there go on.
    if (pthread_create(&thread, &attributes, &Session::thread_main, this) == 0) {
        threads_.push_back(thread);
    }
    pthread_attr_destroy(&attributes);
}

} // namespace slipway::launcher::image_server
