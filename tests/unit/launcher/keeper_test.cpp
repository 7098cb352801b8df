// SPDX-License-Identifier: Apache-2.0
#include "launcher/keeper.hpp"

#include <catch2/catch.hpp>
#include <unistd.h>

#include <csignal>

using namespace slipway;
using base::Child;

namespace {

int sleep_for_ever() {
    for (;;) {
        ::pause();
    }
}

} // namespace

TEST_CASE("a process that waits ends with the one that it watches") {
    auto watched = Child::fork(sleep_for_ever);
    REQUIRE(watched);
    auto waiting = Child::fork([&] {
        sigset_t all;
        sigfillset(&all);
        ::sigprocmask(SIG_SETMASK, &all, nullptr);
        return launcher::end_with(watched->pidfd(), 50) ? sleep_for_ever() : 1;
    });
    REQUIRE(waiting);
    CHECK(waiting->wait_for(200).error().code == base::Code::timed_out);
    watched->signal(SIGKILL);
    const auto status = waiting->wait_for(10000);
    REQUIRE(status);
    CHECK(base::exit_code_of(*status) == 128 + SIGKILL);
}

TEST_CASE("what a keeper has forked is a child of this process") {
    auto child = launcher::fork_from_keeper([] { return 7; });
    REQUIRE(child);
    const auto status = child->wait();
    REQUIRE(status);
    CHECK(base::exit_code_of(*status) == 7);
}
