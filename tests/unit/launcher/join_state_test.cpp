// SPDX-License-Identifier: Apache-2.0
#include "base/child.hpp"
#include "launcher/join/step_state.hpp"

#include <catch2/catch.hpp>
#include <unistd.h>

using namespace slipway;
using namespace slipway::launcher::join;

TEST_CASE("forked tasks share what one of them has written", "[join]") {
    auto state = StepState::create();
    REQUIRE(state);
    CHECK((*state)->phase() == StepPhase::none);
    auto child = base::Child::fork([&] {
        const auto lock = (*state)->lock(1000);
        (*state)->set_launcher(4711, 99);
        (*state)->set_failed({base::Code::image_corrupt, 5, std::string(9000, 'm'), "hint"});
        return 0;
    });
    REQUIRE(child);
    REQUIRE(child->wait());
    CHECK((*state)->phase() == StepPhase::failed);
    CHECK((*state)->launcher_pid() == 4711);
    CHECK((*state)->launcher_start_time() == 99);
    const auto error = (*state)->error();
    CHECK(error.code == base::Code::image_corrupt);
    CHECK(error.sys_errno == 5);
    CHECK(error.message == std::string(1499, 'm'));
    CHECK(error.hint == "hint");
}

TEST_CASE("exactly one task prints", "[join]") {
    auto state = StepState::create();
    REQUIRE(state);
    int printed = 0;
    for (int i = 0; i < 8; ++i) {
        auto child = base::Child::fork([&] { return (*state)->claim_message() ? 1 : 0; });
        REQUIRE(child);
        auto status = child->wait();
        REQUIRE(status);
        printed += base::exit_code_of(*status);
    }
    CHECK(printed == 1);
    CHECK((*state)->claim_warning());
    CHECK_FALSE((*state)->claim_warning());
}

TEST_CASE("a starter that is killed leaves a failed step and a usable lock", "[join]") {
    auto state = StepState::create();
    REQUIRE(state);
    auto child = base::Child::fork([&] {
        auto lock = (*state)->lock(1000);
        (*state)->set_phase(StepPhase::starting);
        ::_exit(0); // with the lock: as SIGKILL would
        return 0;
    });
    REQUIRE(child);
    REQUIRE(child->wait());
    {
        const auto lock = (*state)->lock(1000);
        REQUIRE(lock);
        CHECK((*state)->phase() == StepPhase::failed);
        CHECK((*state)->error().code == base::Code::launcher_failed);
    }
    CHECK((*state)->lock(1000));
}

TEST_CASE("a task that is killed while it joins harms nobody", "[join]") {
    auto state = StepState::create();
    REQUIRE(state);
    (*state)->set_phase(StepPhase::ready);
    auto child = base::Child::fork([&] {
        auto lock = (*state)->lock(1000);
        ::_exit(0);
        return 0;
    });
    REQUIRE(child);
    REQUIRE(child->wait());
    REQUIRE((*state)->lock(1000));
    CHECK((*state)->phase() == StepPhase::ready);
}

TEST_CASE("waiting for the lock ends", "[join]") {
    auto state = StepState::create();
    REQUIRE(state);
    const auto held = (*state)->lock(1000);
    REQUIRE(held);
    auto child = base::Child::fork([&] {
        const auto lock = (*state)->lock(50);
        return !lock && lock.error().code == base::Code::timed_out ? 0 : 1;
    });
    REQUIRE(child);
    auto status = child->wait();
    REQUIRE(status);
    CHECK(base::exit_code_of(*status) == 0);
}
