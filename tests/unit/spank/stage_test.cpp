// SPDX-License-Identifier: Apache-2.0
#include "base/child.hpp"
#include "base/fd.hpp"
#include "base/temp_dir.hpp"
#include "spank/options.hpp"
#include "spank/surroundings.hpp"

#include <catch2/catch.hpp>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <ctime>

using namespace slipway;
using namespace slipway::spank;

namespace {

const std::string id(64, 'e');

/// A staging client made of a few shell lines.
struct Client {
    explicit Client(const std::string& script) {
        auto made = base::TempDir::create("slipway-test");
        REQUIRE(made);
        directory = std::move(*made);
        path = directory.path() + "/client";
        auto file = base::open_file(path, O_CREAT | O_WRONLY, 0755);
        REQUIRE(file);
        REQUIRE(base::write_all(file->get(), "#!/bin/sh\n" + script));
    }
    base::TempDir directory;
    std::string path;
};

} // namespace

TEST_CASE("the staging client's answer is taken when it is whole", "[spank]") {
    const Client client("echo id=" + id + "; echo \"pinned=$3@sha256:1\"; [ \"$1 $2\" = "
                        "'--config /etc/c.yaml' ]");
    const auto staged = run_stage_client(client.path, "/etc/c.yaml", "docker://a b", Staging::wait);
    REQUIRE(staged);
    CHECK(staged->image_id == id);
    CHECK(staged->pinned == "docker://a b@sha256:1");
}

TEST_CASE("sbatch's client is reported not to wait", "[spank]") {
    const Client client(
        "echo id=" + id + "; echo pinned=x@sha256:1; [ \"$*\" = '--detach x' ]");
    CHECK(run_stage_client(client.path, "", "x", Staging::begin));
}

TEST_CASE("a client that fails has spoken; one that lies is refused", "[spank]") {
    const Client failing("[ $# = 1 ] && exit 3");
    auto staged = run_stage_client(failing.path, "", "x", Staging::wait);
    REQUIRE_FALSE(staged);
    CHECK(staged.error().code == base::Code::not_staged);
    CHECK(staged.error().message.empty());
    const Client setup("exit 255"); // no signal, although it is more than 128
    staged = run_stage_client(setup.path, "", "x", Staging::wait);
    REQUIRE_FALSE(staged);
    CHECK(staged.error().message.empty());
    const Client killed("kill -9 $$");
    staged = run_stage_client(killed.path, "", "x", Staging::wait);
    REQUIRE_FALSE(staged);
    CHECK(staged.error().message.find("killed by signal 9") != std::string::npos);
    for (const char* signal : {"INT", "TERM", "HUP"}) { // as from the terminal, to both
        const Client interrupted("kill -" + std::string(signal) + " $$; sleep 5");
        staged = run_stage_client(interrupted.path, "", "docker://x", Staging::wait);
        REQUIRE_FALSE(staged);
        CHECK(staged.error().code == base::Code::interrupted);
        CHECK(staged.error().message.find("interrupted while getting the image 'docker://x'") != std::string::npos);
    }
    const Client endless("exec cat /dev/zero");
    staged = run_stage_client(endless.path, "", "x", Staging::wait);
    REQUIRE_FALSE(staged);
    CHECK_FALSE(staged.error().message.empty());
}

TEST_CASE("a signal that srun holds back ends the client, one that is ignored does not",
          "[spank]") {
    sigset_t held;
    sigset_t before;
    sigemptyset(&held);
    sigaddset(&held, SIGTERM);
    sigaddset(&held, SIGHUP);
    REQUIRE(::sigprocmask(SIG_BLOCK, &held, &before) == 0);
    const auto hangup = ::signal(SIGHUP, SIG_IGN);
    const Client brief("sleep 0.3; echo id=" + id + "; echo pinned=x@sha256:1");
    ::raise(SIGHUP);
    CHECK(run_stage_client(brief.path, "", "x", Staging::wait));
    const Client slow("sleep 600 & trap 'kill $!; echo swept >\"$0.swept\"; exit 1' TERM; wait");
    ::raise(SIGTERM);
    const auto staged = run_stage_client(slow.path, "", "x", Staging::wait);
    const timespec now{};
    CHECK(::sigtimedwait(&held, nullptr, &now) > 0); // so that it does not hit the test
    CHECK(::sigtimedwait(&held, nullptr, &now) > 0);
    ::signal(SIGHUP, hangup);
    ::sigprocmask(SIG_SETMASK, &before, nullptr);
    REQUIRE_FALSE(staged);
    CHECK(staged.error().code == base::Code::interrupted);
    CHECK_FALSE(staged.error().message.empty());
    CHECK(::access((slow.path + ".swept").c_str(), F_OK) == 0); // it was asked, not killed
}

TEST_CASE("closed standard streams are not in the client's way", "[spank]") {
    const Client client("echo id=" + id + "; echo pinned=x@sha256:1");
    for (unsigned closed = 1; closed < 8; ++closed) {
        CAPTURE(closed);
        auto child = base::Child::fork([&] {
            for (int fd = 0; fd <= 2; ++fd) {
                if ((closed >> static_cast<unsigned>(fd) & 1U) != 0) {
                    ::close(fd);
                }
            }
            const auto staged = run_stage_client(client.path, "", "x", Staging::wait);
            const auto missing = run_stage_client("/no/such/client", "", "x", Staging::wait);
            return staged && staged->image_id == id && !missing && !missing.error().hint.empty()
                       ? 0
                       : 1;
        });
        REQUIRE(child);
        const auto status = child->wait();
        REQUIRE(status);
        CHECK(base::exit_code_of(*status) == 0);
    }
}

TEST_CASE("without a client the hint is to use a path", "[spank]") {
    const auto staged = run_stage_client("/no/such/client", "", "docker://debian", Staging::wait);
    REQUIRE_FALSE(staged);
    CHECK(staged.error().code == base::Code::not_staged);
    CHECK(staged.error().message.find("docker://debian") != std::string::npos);
    CHECK(staged.error().hint.find("path") != std::string::npos);
}

TEST_CASE("a client that cannot start is not called missing", "[spank]") {
    const Client broken("exit 127"); // as the loader does when a library does not fit
    auto staged = run_stage_client(broken.path, "", "docker://debian", Staging::wait);
    REQUIRE_FALSE(staged);
    CHECK(staged.error().code == base::Code::not_staged);
    CHECK(staged.error().message.find("cannot start") != std::string::npos);
    CHECK(staged.error().message.find("there is no") == std::string::npos);
    CHECK(staged.error().hint.find("LD_LIBRARY_PATH") != std::string::npos);

    const Client closed("exit 0");
    REQUIRE(::chmod(closed.path.c_str(), 0644) == 0);
    staged = run_stage_client(closed.path, "", "docker://debian", Staging::wait);
    REQUIRE_FALSE(staged);
    CHECK(staged.error().sys_errno == EACCES);
    CHECK(staged.error().message.find("there is no") == std::string::npos);
}

TEST_CASE("stage answers are validated", "[spank]") {
    const auto named = "id=" + id + "\n";
    auto staged = parse_stage_answer(named + "pinned=docker://x:1@sha256:1\n");
    REQUIRE(staged);
    CHECK(staged->image_id == id);
    CHECK(staged->store.empty());
    staged = parse_stage_answer(named + "store=/home/me/store\npinned=x\n");
    REQUIRE(staged);
    CHECK(staged->store == "/home/me/store");
    for (const auto& bad :
         {std::string(), named, std::string("pinned=x\n"), named + "store=a\npinned=x\n",
          named + named + "pinned=x\n", named + "pinned=x\nmore=1\n", std::string("id=ab\npinned=x\n"),
          std::string("id=\npinned=x\n"), std::string("rubbish"), named + "store=/a\tb\npinned=x\n",
          std::string("path=/a\npinned=x\n"), std::string("store=/a\npinned=x\n")}) {
        CAPTURE(bad);
        CHECK_FALSE(parse_stage_answer(bad));
    }
}
