// SPDX-License-Identifier: Apache-2.0
#include "base/child.hpp"
#include "base/process.hpp"
#include "launcher/join/start.hpp"
#include "tests/support/skip.hpp"

#include <catch2/catch.hpp>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <thread>

using namespace slipway;
using namespace slipway::launcher::join;

namespace {

/// One start of the fake launcher, as the user who runs the tests.
struct Start {
    explicit Start(const std::string& mode) {
        auto ends = base::packet_pair();
        REQUIRE(ends);
        tasks = std::move(ends->first);
        launchers = std::move(ends->second);
        const int on = 1;
        REQUIRE(::setsockopt(tasks.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on) == 0);
        auto own = base::open_pidfd(::getpid());
        REQUIRE(own);
        self = std::move(*own);
        facts.launcher_path = SLIPWAY_FAKE_LAUNCHER;
        facts.config_path = "/" + mode;
        facts.uid = ::getuid();
        facts.gid = ::getgid();
        facts.stepd_pidfd = self.get();
        facts.task_socket = tasks.get();
        facts.launcher_socket = launchers.get();
        facts.timeout_ms = 5000;
        request.image = "/some/image.sif";
        request.cwd = "/";
    }
    ~Start() {
        if (pid > 0) {
            (void)stop_process(pid, start_time, 2000);
        }
    }
    Start(const Start&) = delete;
    Start& operator=(const Start&) = delete;

    base::Result<JoinHandles> go() {
        return start_launcher(
            facts, request, [this](std::string_view text) { warnings.emplace_back(text); },
            [this](pid_t started, std::uint64_t since) {
                pid = started;
                start_time = since;
            });
    }
    /// It has ended; init may be slow to take notice.
    [[nodiscard]] bool gone() const {
        const auto stat = base::read_file("/proc/" + std::to_string(pid) + "/stat", 4096);
        return !stat || stat->find(") Z ") != std::string::npos;
    }

    base::UniqueFd tasks;
    base::UniqueFd launchers;
    base::UniqueFd self;
    StartFacts facts;
    Request request;
    std::vector<std::string> warnings;
    pid_t pid = 0;
    std::uint64_t start_time = 0;
};

bool user_namespaces_work() {
    auto child = base::Child::fork([] { return ::unshare(CLONE_NEWUSER) == 0 ? 0 : 1; });
    return child && child->wait().value_or(1) == 0;
}

#define NEED_USER_NAMESPACES()                                                                     \
    if (!user_namespaces_work()) {                                                                 \
        test::skip("this machine has no user namespaces for ordinary users");                      \
        return;                                                                                    \
    }

/// Runs in a child, because entering cannot be undone; 0 when everything held.
int enter_and_check(const JoinHandles& handles) {
    if (!enter(handles, [](std::string_view) {})) {
        return 1;
    }
    struct stat mine {};
    if (::stat("/proc/self/ns/mnt", &mine) != 0) {
        return 2;
    }
    struct stat theirs {};
    if (::fstat(handles.namespaces[1].second.get(), &theirs) != 0 || theirs.st_ino != mine.st_ino) {
        return 3;
    }
    if (::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 ||
        ::prctl(PR_CAPBSET_READ, 21, 0, 0, 0) != 0) {
        return 4;
    }
    const auto status = base::read_file("/proc/self/status", 65536);
    if (!status || status->find("CapEff:\t0000000000000000") == std::string::npos ||
        status->find("CapPrm:\t0000000000000000") == std::string::npos ||
        status->find("CapAmb:\t0000000000000000") == std::string::npos) {
        return 5;
    }
    const gid_t none[] = {::getgid()};
    if (::setgroups(1, none) == 0) {
        return 6;
    }
    return ::unshare(CLONE_NEWNS) != 0 ? 0 : 7;
}

} // namespace

TEST_CASE("the launcher starts, gets the request and lets tasks in", "[join]") {
    NEED_USER_NAMESPACES();
    Start start("normal");
    auto handles = start.go();
    INFO((handles ? "" : handles.error().one_line()));
    REQUIRE(handles);
    CHECK(handles->namespaces.size() == 2);
    CHECK(handles->record.environment.at(0).value == "/some/image.sif");
    CHECK(handles->record.image_name == "fake");
    CHECK(start.pid > 0);
    CHECK(start.start_time == base::process_start_time(start.pid).value_or(0));

    auto joined = ask_to_join(start.tasks.get(), start.pid, 5000);
    REQUIRE(joined);
    auto child = base::Child::fork([&] { return enter_and_check(*joined); });
    REQUIRE(child);
    auto status = child->wait();
    REQUIRE(status);
    CHECK(base::exit_code_of(*status) == 0);

    CHECK(stop_process(start.pid, start.start_time + 1, 1000));
    CHECK_FALSE(start.gone()); // another process, as far as anybody can tell
    CHECK(stop_process(start.pid, start.start_time, 2000));
    CHECK_FALSE(ask_to_join(start.tasks.get(), start.pid, 5000));
}

TEST_CASE("the launcher is nobody's child and inherits nothing", "[join]") {
    NEED_USER_NAMESPACES();
    ::setenv("PATH", "/must/not/arrive", 1);
    const base::UniqueFd leak(::open("/dev/null", O_RDONLY)); // without close-on-exec
    Start start("normal");
    auto handles = start.go();
    INFO((handles ? "" : handles.error().one_line()));
    REQUIRE(handles);
    CHECK(::waitpid(start.pid, nullptr, WNOHANG) == -1);
    CHECK(::getpgid(start.pid) != ::getpgid(0));
}

TEST_CASE("a task with closed standard streams starts the launcher as usual", "[join]") {
    NEED_USER_NAMESPACES();
    for (unsigned closed = 1; closed < 8; ++closed) {
        CAPTURE(closed);
        auto child = base::Child::fork([&] {
            for (int fd = 0; fd <= 2; ++fd) {
                if ((closed >> static_cast<unsigned>(fd) & 1U) != 0) {
                    ::close(fd);
                }
            }
            Start start("normal"); // sockets and pidfd get the numbers of the streams
            const auto handles = start.go();
            return handles && handles->namespaces.size() == 2 &&
                           ask_to_join(start.tasks.get(), start.pid, 5000)
                       ? 0
                       : 1;
        });
        REQUIRE(child);
        const auto status = child->wait();
        REQUIRE(status);
        CHECK(base::exit_code_of(*status) == 0);
    }
}

TEST_CASE("warnings arrive as printable lines", "[join]") {
    NEED_USER_NAMESPACES();
    Start start("warns");
    REQUIRE(start.go());
    CHECK(start.warnings == std::vector<std::string>{"mind\\x0athe gap"});
}

TEST_CASE("a failing launcher gives its error and is gone", "[join]") {
    NEED_USER_NAMESPACES();
    Start start("fails");
    const auto handles = start.go();
    REQUIRE_FALSE(handles);
    CHECK(handles.error().code == base::Code::image_not_found);
    CHECK(handles.error().message == "no /some/image.sif");
    CHECK(handles.error().hint == "look again");
    CHECK(start.gone());
}

TEST_CASE("every way of breaking the protocol ends the start at once", "[join]") {
    NEED_USER_NAMESPACES();
    const auto [mode, code] = GENERATE(table<const char*, base::Code>({
        {"ends-at-once", base::Code::launcher_lost},
        {"dies", base::Code::launcher_lost},
        {"wrong-first-word", base::Code::launcher_failed},
        {"unshared-nothing", base::Code::launcher_failed},
        {"unsealed", base::Code::launcher_failed},
        {"too-few-fds", base::Code::launcher_failed},
    }));
    CAPTURE(mode);
    Start start(mode);
    const auto handles = start.go();
    REQUIRE_FALSE(handles);
    CHECK(handles.error().code == code);
    CHECK(start.gone());
}

TEST_CASE("a launcher that says nothing, or never stops, is given up in time", "[join]") {
    NEED_USER_NAMESPACES();
    const auto mode = GENERATE(as<std::string>(), "hangs", "silent", "never-stops");
    Start start(mode);
    start.facts.timeout_ms = 300;
    const auto handles = start.go();
    REQUIRE_FALSE(handles);
    CHECK(handles.error().code == base::Code::timed_out);
    CHECK(handles.error().message == "the container was not ready within 0 s");
    CHECK(start.gone());
}

TEST_CASE("a socket that never runs dry does not keep a task", "[join]") {
    auto ends = base::packet_pair();
    REQUIRE(ends);
    REQUIRE(::fcntl(ends->second.get(), F_SETFL, O_NONBLOCK) == 0);
    // As many as the socket takes; a launcher that goes on sending looks like this to the task.
    const auto left_behind = encode(base::Error{base::Code::io, 0, "left behind", ""});
    int count = 0;
    while (send_message(ends->second.get(), MessageType::failed, left_behind)) {
        ++count;
    }
    REQUIRE(count > 64);
    const auto joined = ask_to_join(ends->first.get(), ::getpid(), 2000);
    REQUIRE_FALSE(joined);
    CHECK(joined.error().message == "left behind");
    // Few are not taken for the answer.
    while (recv_message(ends->first.get(), 0)) {
    }
    for (int i = 0; i < 10; ++i) {
        REQUIRE(send_message(ends->second.get(), MessageType::failed, left_behind));
    }
    const auto later = ask_to_join(ends->first.get(), ::getpid(), 100);
    REQUIRE_FALSE(later);
    CHECK(later.error().code == base::Code::timed_out);
}

TEST_CASE("a time-out of the launcher's own keeps its words", "[join]") {
    NEED_USER_NAMESPACES();
    Start start("times-out");
    const auto handles = start.go();
    REQUIRE_FALSE(handles);
    CHECK(handles.error().code == base::Code::timed_out);
    CHECK(handles.error().message == "the script took longer than 10 s");
}

TEST_CASE("signals do not shorten a start", "[join]") {
    NEED_USER_NAMESPACES();
    struct sigaction quiet {};
    quiet.sa_handler = [](int) {};
    struct sigaction before {};
    REQUIRE(::sigaction(SIGUSR1, &quiet, &before) == 0);
    const auto self = ::pthread_self();
    std::atomic<bool> done = false;
    std::thread pest([&] {
        while (!done) {
            ::pthread_kill(self, SIGUSR1);
            std::this_thread::sleep_for(std::chrono::microseconds(200));
        }
    });
    Start start("normal");
    const auto handles = start.go();
    const auto joined = ask_to_join(start.tasks.get(), start.pid, 5000);
    done = true;
    pest.join();
    ::sigaction(SIGUSR1, &before, nullptr);
    CHECK(handles);
    CHECK(joined);
}

TEST_CASE("a task notices that the launcher dies while it asks", "[join]") {
    NEED_USER_NAMESPACES();
    Start start("dies-at-join");
    REQUIRE(start.go());
    const auto joined = ask_to_join(start.tasks.get(), start.pid, 5000);
    REQUIRE_FALSE(joined);
    CHECK(joined.error().code == base::Code::launcher_lost);
}

TEST_CASE("a descriptor that is another kind of namespace is not entered", "[join]") {
    NEED_USER_NAMESPACES();
    Start start("swapped");
    const auto handles = start.go();
    REQUIRE(handles);
    auto child =
        base::Child::fork([&] { return enter(*handles, [](std::string_view) {}) ? 1 : 0; });
    REQUIRE(child);
    auto status = child->wait();
    REQUIRE(status);
    CHECK(base::exit_code_of(*status) == 0);
}

TEST_CASE("root opens /dev/fuse for the launcher, once", "[join]") {
    NEED_USER_NAMESPACES();
    if (::getuid() != 0 || ::access("/dev/fuse", F_OK) != 0) {
        test::skip("needs root and /dev/fuse");
        return;
    }
    Start good("fuse");
    good.facts.uid = 65534;
    good.facts.gid = 65534;
    const auto handles = good.go();
    INFO((handles ? "" : handles.error().one_line()));
    CHECK(handles);
    Start twice("fuse-twice");
    const auto refused = twice.go();
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == base::Code::launcher_failed);
}

TEST_CASE("a launcher that cannot be run names plugstack.conf", "[join]") {
    Start start("normal");
    start.facts.launcher_path = "/does/not/exist";
    const auto handles = start.go();
    REQUIRE_FALSE(handles);
    CHECK(handles.error().code == base::Code::plugin_misconfigured);
    CHECK(handles.error().sys_errno == ENOENT);
}

TEST_CASE("a request that is too long never reaches a launcher", "[join]") {
    Start start("normal");
    start.request.environment.assign(40, "A=" + std::string(120000, 'x'));
    const auto handles = start.go();
    REQUIRE_FALSE(handles);
    CHECK(handles.error().code == base::Code::limit_exceeded);
    CHECK(start.pid == 0);
}

TEST_CASE("a missing directory is an error only when it was asked for", "[join]") {
    NEED_USER_NAMESPACES();
    const bool asked = GENERATE(false, true);
    Start start("normal");
    (asked ? start.request.workdir : start.request.cwd) = "/no/such/directory";
    const auto handles = start.go();
    REQUIRE(handles);
    auto child = base::Child::fork([&] {
        int warnings = 0;
        const auto entered = enter(*handles, [&](std::string_view) { ++warnings; });
        char where[64] = "";
        const bool in_root = ::getcwd(where, sizeof where) != nullptr && std::string(where) == "/";
        if (asked) {
            return !entered && entered.error().code == base::Code::workdir_missing ? 0 : 1;
        }
        return entered && warnings == 1 && in_root ? 0 : 1;
    });
    REQUIRE(child);
    auto status = child->wait();
    REQUIRE(status);
    CHECK(base::exit_code_of(*status) == 0);
}

TEST_CASE("gid_map keeps the primary group and fits the kernel's limits", "[join]") {
    const gid_t some[] = {27, 100, 27, 1000};
    CHECK(gid_map_text(100, some) == "100 100 1\n27 27 1\n1000 1000 1\n");
    CHECK(gid_map_text(5, {}) == "5 5 1\n");
    std::vector<gid_t> many;
    for (gid_t group = 1; group <= 1000; ++group) {
        many.push_back(group);
    }
    const auto small = gid_map_text(4000000000U, many);
    CHECK(std::count(small.begin(), small.end(), '\n') == 340);
    for (auto& group : many) {
        group += 4000000000U;
    }
    const auto large = gid_map_text(100, many);
    CHECK(large.size() < 4096);
    CHECK(large.size() > 4000);
    CHECK(large.back() == '\n');
}

TEST_CASE("a process is known by its start time", "[join]") {
    CHECK(stop_process(999999999, 1, 100));
    auto stubborn = base::Child::fork([] {
        ::signal(SIGTERM, SIG_IGN);
        for (;;) {
            ::pause();
        }
        return 0;
    });
    REQUIRE(stubborn);
    const auto time = base::process_start_time(stubborn->pid());
    REQUIRE(time);
    ::usleep(50000); // let it ignore SIGTERM
    CHECK(stop_process(stubborn->pid(), *time, 400));
    auto status = stubborn->wait();
    REQUIRE(status);
    CHECK(WTERMSIG(*status) == SIGKILL);
}
