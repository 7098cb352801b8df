// SPDX-License-Identifier: Apache-2.0
#include "base/child.hpp"
#include "base/pipe.hpp"

#include <catch2/catch.hpp>
#include <csignal>
#include <fcntl.h>
#include <linux/close_range.h>
#include <new>
#include <sys/wait.h>
#include <unistd.h>

using namespace slipway::base;

TEST_CASE("exit codes and signals of children") {
    auto child = Child::fork([] { return 7; });
    REQUIRE(child);
    auto status = child->wait();
    REQUIRE(status);
    CHECK(exit_code_of(*status) == 7);

    auto sleeper = Child::fork([] {
        ::pause();
        return 0;
    });
    REQUIRE(sleeper);
    auto early = sleeper->wait_for(10);
    REQUIRE_FALSE(early);
    CHECK(early.error().code == Code::timed_out);
    sleeper->signal(SIGTERM);
    status = sleeper->wait();
    REQUIRE(status);
    CHECK(exit_code_of(*status) == 128 + SIGTERM);
}

TEST_CASE("an exception in a child ends the child and nothing else") {
    const pid_t here = ::getpid();
    Result<Child> child = fail(Code::internal, "");
    try {
        child = Child::fork([]() -> int { throw std::bad_alloc(); });
    } catch (const std::bad_alloc&) {
        if (::getpid() != here) {
            ::_exit(0); // it got out of the child's body
        }
    }
    REQUIRE(child);
    const auto status = child->wait();
    REQUIRE(status);
    CHECK(exit_code_of(*status) == static_cast<int>(ExitCode::setup));
}

TEST_CASE("a dropped child is killed and reaped") {
    pid_t pid = -1;
    {
        auto child = Child::fork([] {
            ::pause();
            return 0;
        });
        REQUIRE(child);
        pid = child->pid();
    }
    CHECK(::kill(pid, 0) == -1);
}

TEST_CASE("programs get just the descriptors and environment they are given") {
    // What the test runner itself inherited must not be counted.
    REQUIRE(::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) == 0);
    auto pipe = make_pipe();
    REQUIRE(pipe);
    auto child = Child::spawn({"/bin/sh",
                               {"sh", "-c", "echo $ONLY $HOME >&5; ls /proc/self/fd | wc -l >&5"},
                               {"ONLY=this", "PATH=/bin:/usr/bin"},
                               {{pipe->writer.get(), 5}}});
    REQUIRE(child);
    pipe->writer.reset();
    auto text = read_to_end(pipe->reader.get(), 1000);
    REQUIRE(text);
    CHECK(*text == "this\n5\n"); // 0, 1, 2, 5 and the one that ls opens
    CHECK(child->wait());
}

TEST_CASE("a program that cannot be run is an error, not exit code 127") {
    auto child = Child::spawn({"/nonexistent/program", {"program"}, {}, {}});
    REQUIRE_FALSE(child);
    CHECK(child.error().sys_errno == ENOENT);
}

TEST_CASE("a child alone in a pid namespace takes everything with it that it has started") {
    auto pipe = make_pipe();
    REQUIRE(pipe);
    {
        auto child = Child::fork_alone([&] {
            if (::fork() == 0) {
                ::setsid();
                (void)!::write(pipe->writer.get(), "x", 1);
                ::pause();
            }
            ::pause();
            return 0;
        });
        if (!child && child.error().sys_errno == EPERM) {
            WARN("needs CAP_SYS_ADMIN");
            return;
        }
        REQUIRE(child);
        pipe->writer.reset();
        char byte = 0;
        REQUIRE(::read(pipe->reader.get(), &byte, 1) == 1);
    }
    char byte = 0;
    CHECK(::read(pipe->reader.get(), &byte, 1) == 0); // nobody has the other end any more
}

TEST_CASE("a child that somebody else has reaped is left alone") {
    auto child = Child::fork([] { return 3; });
    REQUIRE(child);
    int status = 0;
    REQUIRE(::waitpid(child->pid(), &status, 0) == child->pid());
    // Were its number given to another process now, that would have to live on.
    const pid_t pid = child->pid();
    *child = Child();
    CHECK(::kill(pid, 0) == -1);
}
