// SPDX-License-Identifier: Apache-2.0
#include "launcher/keeper.hpp"

#include "base/barrier.hpp"
#include "launcher/join/join.hpp"

#include <pthread.h>
#include <semaphore.h>
#include <unistd.h>

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

struct Order {
    const std::function<int()>& body;
    sem_t done{};
    std::optional<Result<Child>> outcome;
};

Result<Child> carry_out(const Order& order) {
    TRY(join::drop_privileges_for_good());
    return Child::fork(order.body);
}

void* keep(void* argument) noexcept {
    auto& order = *static_cast<Order*>(argument);
    (void)base::completes([&] { order.outcome = carry_out(order); });
    ::sem_post(&order.done); // the order is gone from here on
    for (;;) {
        ::pause();
    }
}

int start_thread(Order& order) noexcept {
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
    err = pthread_create(&thread, &attributes, &keep, &order);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    pthread_attr_destroy(&attributes);
    return err;
}

} // namespace

Result<Child> fork_from_keeper(const std::function<int()>& body) {
    Order order{body, {}, std::nullopt};
    ::sem_init(&order.done, 0, 0);
    if (const int err = start_thread(order); err != 0) {
        return fail_errno(Code::system, err, "cannot start a thread");
    }
    while (::sem_wait(&order.done) != 0) {
    }
    if (!order.outcome) {
        return fail_errno(Code::system, ENOMEM, "cannot create a process");
    }
    return std::move(*order.outcome);
}

} // namespace slipway::launcher
