// SPDX-License-Identifier: Apache-2.0
#include "launcher/keeper.hpp"

#include "base/barrier.hpp"
#include "base/capabilities.hpp"
#include "launcher/join/join.hpp"

#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <optional>

namespace slipway::launcher {
namespace {

using base::Child;
using base::Code;
using base::fail_errno;
using base::Result;

/// The server runs on it, too; pages that are not touched cost nothing.
constexpr std::size_t stack_bytes = 1U << 20U;

/// What a thread gets from the one that starts it, which waits for `done`.
struct ForkOrder {
    const std::function<int()>& body;
    sem_t done{};
    std::optional<Result<Child>> outcome;
};
struct WatchOrder {
    int pidfd = -1;
    int grace_ms = 0;
    sem_t done{};
    std::optional<Result<void>> outcome;
};

Result<Child> fork_without_privileges(const std::function<int()>& body) {
    TRY(join::drop_privileges_for_good());
    return Child::fork(body);
}

void* keep(void* argument) noexcept {
    auto& order = *static_cast<ForkOrder*>(argument);
    (void)base::completes([&] { order.outcome = fork_without_privileges(order.body); });
    ::sem_post(&order.done); // the order is gone from here on
    for (;;) {
        ::pause();
    }
}

void* watch(void* argument) noexcept {
    auto& order = *static_cast<WatchOrder*>(argument);
    pollfd watched{order.pidfd, POLLIN, 0};
    const int grace_ms = order.grace_ms;
    bool ready = false;
    (void)base::completes([&] {
        order.outcome = base::drop_all_capabilities();
        ready = order.outcome->has_value();
    });
    ::sem_post(&order.done); // the order is gone from here on
    while (ready && ::poll(&watched, 1, -1) != 1) {
        ::usleep(1000); // the kernel is short of memory
    }
    if (ready) {
        (void)::poll(nullptr, 0, grace_ms);
        ::kill(::getpid(), SIGKILL);
    }
    return nullptr;
}

int start_thread(void* (*entry)(void*), void* order) noexcept {
    pthread_attr_t attributes;
    int err = pthread_attr_init(&attributes);
    if (err != 0) {
        return err;
    }
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); // the new thread inherits it
    pthread_attr_setstacksize(&attributes, stack_bytes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_t thread{};
    err = pthread_create(&thread, &attributes, entry, order);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    pthread_attr_destroy(&attributes);
    return err;
}

/// Has a thread carry the order out; gives its outcome.
template <typename Order>
auto carry_out(void* (*entry)(void*), Order& order) ->
    typename decltype(order.outcome)::value_type {
    ::sem_init(&order.done, 0, 0);
    if (const int err = start_thread(entry, &order); err != 0) {
        return fail_errno(Code::system, err, "cannot start a thread");
    }
    while (::sem_wait(&order.done) != 0) {
    }
    if (!order.outcome) {
        return fail_errno(Code::system, ENOMEM, "cannot set up a thread");
    }
    return std::move(*order.outcome);
}

} // namespace

Result<Child> fork_from_keeper(const std::function<int()>& body) {
    ForkOrder order{body, {}, std::nullopt};
    return carry_out(&keep, order);
}

Result<void> end_with(int pidfd, int grace_ms) {
    WatchOrder order{pidfd, grace_ms, {}, std::nullopt};
    return carry_out(&watch, order);
}

} // namespace slipway::launcher
