// SPDX-License-Identifier: Apache-2.0
#include "base/capabilities.hpp"
#include "base/capture.hpp"
#include "base/directory.hpp"
#include "base/inherited_state.hpp"
#include "base/process.hpp"
#include "base/temp_dir.hpp"

#include <algorithm>
#include <csignal>

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>

using namespace slipway;
using base::Code;
using base::Deadline;

namespace {

base::Child::Spawn shell(const std::string& script) {
    return {"/bin/sh", {"sh", "-c", script}, {"A=b"}, {}};
}

} // namespace

TEST_CASE("a deadline passes once, and never does not pass") {
    CHECK(Deadline(0).passed());
    CHECK(Deadline(0).remaining_ms() == 0);
    CHECK_FALSE(Deadline(60000).passed());
    CHECK(Deadline(60000).remaining_ms() <= 60000);
    CHECK(Deadline::never().remaining_ms() == -1);
}

TEST_CASE("output of a child is captured") {
    const auto all = base::capture_output(shell("echo $A; echo no >&2; exit 3"), 100, Deadline(10000));
    REQUIRE(all);
    CHECK(all->output == "b\n");
    CHECK(all->exit_code() == 3);
    const auto both = base::capture_output(shell("echo no >&2; cat"), 100, Deadline(10000),
                                           base::ErrorOutput::capture);
    REQUIRE(both);
    CHECK(both->output == "no\n");
}

TEST_CASE("a child that prints too much or takes too long is ended") {
    CHECK(base::capture_output(shell("while :; do echo y; done"), 1000, Deadline(10000)).error().code ==
          Code::limit_exceeded);
    CHECK(base::capture_output(shell("exec sleep 60"), 1000, Deadline(50)).error().code ==
          Code::timed_out);
    // Closed its output, but does not end.
    CHECK(base::capture_output(shell("exec >&- sleep 60"), 1000, Deadline(100)).error().code ==
          Code::timed_out);
}

TEST_CASE("a program that cannot be run is distinguished from one that exits with 127") {
    const auto missing = base::capture_output({"/nonexistent/x", {"x"}, {}, {}}, 10, Deadline(1000));
    CHECK(missing.error().code == Code::system);
    CHECK(missing.error().sys_errno == ENOENT);
    CHECK(base::capture_output(shell("exit 127"), 10, Deadline(10000))->exit_code() == 127);
}

TEST_CASE("programs are found in absolute directories only") {
    CHECK(base::find_in_path("sh", "relative::/nonexistent:/bin") == "/bin/sh");
    CHECK(base::find_in_path("sh", "bin:.").empty());
    CHECK(base::find_in_path("no-such-program", "/bin").empty());
    CHECK(base::find_in_path("bin", "/usr").empty()); // a directory
}

TEST_CASE("a process is known by its start time") {
    const auto facts = base::process_facts(::getpid());
    REQUIRE(facts);
    CHECK(facts->alive());
    CHECK(facts->start_time > 0);
    CHECK(base::process_start_time(::getpid()) == facts->start_time);
    CHECK(base::process_facts(0x3fffffff).error().code == Code::io);
    const pid_t child = ::fork();
    if (child == 0) {
        ::_exit(0);
    }
    siginfo_t info{};
    REQUIRE(::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT) == 0);
    CHECK_FALSE(base::process_facts(child)->alive());
    ::waitpid(child, nullptr, 0);
}

TEST_CASE("directories are listed without their dots") {
    const auto dir = base::TempDir::create("list");
    REQUIRE(dir);
    REQUIRE(::mkdir((dir->path() + "/sub").c_str(), 0755) == 0);
    REQUIRE(base::open_file(dir->path() + "/file", O_CREAT | O_WRONLY, 0644));
    auto names = base::names_in(dir->path());
    REQUIRE(names);
    std::sort(names->begin(), names->end());
    CHECK(*names == std::vector<std::string>{"file", "sub"});
    CHECK(base::names_in(dir->path(), 1).error().code == Code::limit_exceeded);
    CHECK(base::names_in(dir->path() + "/none").error().sys_errno == ENOENT);
    const auto opened = base::open_file(dir->path(), O_PATH | O_DIRECTORY);
    REQUIRE(opened);
    CHECK(base::list_directory(opened->get())->size() == 2);
    CHECK(base::list_directory(opened->get())->size() == 2);
}

TEST_CASE("dropped capabilities are gone, in a child") {
    auto child = base::Child::fork([]() -> int {
        base::drop_bounding_set();
        if (!base::drop_all_capabilities() || !base::drop_all_capabilities()) {
            return 1;
        }
        // What is not permitted any more cannot be had again.
        return ::geteuid() != 0 || !base::keep_only_capabilities(base::capability_bit(CAP_CHOWN)) ? 0
                                                                                                 : 2;
    });
    REQUIRE(child);
    CHECK(child->wait() == 0);
}

TEST_CASE("closed standard descriptors are opened on /dev/null") {
    for (int closed = 0; closed < 8; ++closed) {
        auto child = base::Child::fork([closed]() -> int {
            for (int fd = 0; fd < 3; ++fd) {
                if ((closed & (1 << fd)) != 0) {
                    ::close(fd);
                }
            }
            base::repair_inherited_state();
            struct stat null {};
            struct stat facts {};
            ::stat("/dev/null", &null);
            for (int fd = 0; fd < 3; ++fd) {
                if (::fstat(fd, &facts) != 0) {
                    return 1;
                }
                if ((closed & (1 << fd)) != 0 &&
                    (facts.st_rdev != null.st_rdev || ::fcntl(fd, F_GETFD) != 0)) {
                    return 2;
                }
            }
            const int next = ::open("/", O_PATH | O_CLOEXEC);
            return next >= 3 ? 0 : 3;
        });
        REQUIRE(child);
        CHECK(child->wait() == 0);
    }
}

TEST_CASE("an ignored SIGCHLD of the caller loses no exit code") {
    auto child = base::Child::fork([] {
        ::signal(SIGCHLD, SIG_IGN); // as a daemon may have it
        base::repair_inherited_state();
        auto grandchild = base::Child::fork([] { return 3; });
        const auto status = grandchild ? grandchild->wait() : 0;
        return status && base::exit_code_of(*status) == 3 ? 0 : 1;
    });
    REQUIRE(child);
    CHECK(child->wait() == 0);
}
