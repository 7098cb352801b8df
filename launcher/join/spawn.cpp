// SPDX-License-Identifier: Apache-2.0
#include "launcher/join/spawn.hpp"

#include "base/child.hpp"
#include "base/format.hpp"
#include "base/text.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>

namespace slipway::launcher {
namespace {

using base::Code;
using base::Result;
using base::UniqueFd;

constexpr int step_fd = 3;
constexpr int parent_fd = 4;
constexpr int first_free_fd = 5;

/// What the two children report: who the launcher is, and which call failed.
struct Report {
    enum class Kind : std::int32_t { pid, fork_failed, set_up_failed, exec_failed };
    Kind kind;
    std::int32_t value;
};

struct Pipe {
    UniqueFd reader;
    UniqueFd writer;
};

Result<Pipe> make_pipe() {
    int ends[2] = {-1, -1};
    if (::pipe2(ends, O_CLOEXEC) != 0) {
        return base::fail_errno(Code::system, errno, "cannot make a pipe");
    }
    return Pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

/// All that the children need, made before the fork: after it they only make system calls.
struct Preparation {
    std::vector<std::string> arguments;
    std::vector<char*> argv;
    std::array<char*, 1> environment{nullptr};
    int task_report = -1; ///< write end of the report pipe
    int go = -1;          ///< read end of the pipe that keeps the first child
    int step_socket = -1;
    int parent_pidfd = -1;
};

Preparation prepare(const StartFacts& facts) {
    Preparation ready;
    ready.arguments = {"slipway-launch", "step",
                       "--uid",          fmt::format("{}", facts.uid),
                       "--gid",          fmt::format("{}", facts.gid),
                       "--step-fd",      fmt::format("{}", step_fd),
                       "--parent-fd",    fmt::format("{}", parent_fd),
                       "--config",       facts.config_path};
    for (auto& argument : ready.arguments) {
        ready.argv.push_back(argument.data());
    }
    ready.argv.push_back(nullptr);
    ready.step_socket = facts.launcher_socket;
    ready.parent_pidfd = facts.stepd_pidfd;
    return ready;
}

void send_report(int pipe, Report::Kind kind, int value) noexcept {
    const Report report{kind, value};
    // Smaller than PIPE_BUF: whole or not at all. Without it the parent sees an unexplained end.
    while (::write(pipe, &report, sizeof report) < 0 && errno == EINTR) {
    }
}

void reset_signals() noexcept {
    struct sigaction standard {};
    standard.sa_handler = SIG_DFL;
    for (int number = 1; number < NSIG; ++number) {
        ::sigaction(number, &standard, nullptr); // SIGKILL and SIGSTOP say EINVAL
    }
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

/// Moves a descriptor out of the numbers that are about to be given away.
int move_away(int fd) noexcept {
    return ::fcntl(fd, F_DUPFD_CLOEXEC, first_free_fd + 16);
}

/// Puts every descriptor in its place and closes all others but the report pipe, which execve
/// closes.
bool arrange_descriptors(const Preparation& ready, int report) noexcept {
    const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    const int step = move_away(ready.step_socket);
    const int parent = move_away(ready.parent_pidfd);
    if (null < 0 || step < 0 || parent < 0) {
        return false;
    }
    for (int fd = 0; fd <= 2; ++fd) {
        // dup2 of a descriptor onto itself would leave close-on-exec set.
        if (fd == null ? ::fcntl(fd, F_SETFD, 0) != 0 : ::dup2(null, fd) < 0) {
            return false;
        }
    }
    if (::dup2(step, step_fd) < 0 || ::dup2(parent, parent_fd) < 0) {
        return false;
    }
    const auto close_range = [](unsigned first, unsigned last) {
        return first > last || ::syscall(SYS_close_range, first, last, 0) == 0;
    };
    const auto kept = static_cast<unsigned>(report);
    return close_range(first_free_fd, kept - 1) && close_range(kept + 1, ~0U);
}

[[noreturn]] void become_launcher(const Preparation& ready, const char* program) noexcept {
    const int report = move_away(ready.task_report);
    if (report < 0) {
        ::_exit(127); // the parent sees that nobody reports success
    }
    reset_signals();
    ::umask(022);
    if (::chdir("/") != 0 || !arrange_descriptors(ready, report)) {
        send_report(report, Report::Kind::set_up_failed, errno);
        ::_exit(127);
    }
    ::execve(program, ready.argv.data(), ready.environment.data());
    send_report(report, Report::Kind::exec_failed, errno);
    ::_exit(127);
}

/// The first child: starts the launcher, says its pid, and stays (so that the pid cannot be used
/// again: an unreaped child keeps it) until the parent has opened it.
[[noreturn]] void be_middle(const Preparation& ready, const char* program) noexcept {
    ::setsid();
    const pid_t launcher = ::fork();
    if (launcher == 0) {
        become_launcher(ready, program);
    }
    if (launcher < 0) {
        send_report(ready.task_report, Report::Kind::fork_failed, errno);
        ::_exit(1);
    }
    send_report(ready.task_report, Report::Kind::pid, launcher);
    char nothing = 0;
    while (::read(ready.go, &nothing, 1) < 0 && errno == EINTR) {
    }
    ::_exit(0);
}

void reap(pid_t child) noexcept {
    while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
    }
}

/// One report, or nothing when the pipe has ended.
Result<std::optional<Report>> read_report(int pipe, const Deadline& deadline) {
    // -1 as the process: poll(2) ignores it, so this waits for the pipe alone.
    TRY(wait_for_either(pipe, -1, deadline));
    Report report{};
    ssize_t got = 0;
    do {
        got = ::read(pipe, &report, sizeof report);
    } while (got < 0 && errno == EINTR);
    if (got != static_cast<ssize_t>(sizeof report)) {
        return std::optional<Report>{};
    }
    return std::optional(report);
}

base::Unexpected cannot_run(const std::string& program, const Report& report) {
    if (report.kind == Report::Kind::exec_failed) {
        return base::fail_errno(Code::plugin_misconfigured, report.value,
                                "cannot run the container's launcher " + base::in_quotes(program),
                                "ask the administrator to check launcher= in plugstack.conf");
    }
    return base::fail_errno(Code::system, report.value, "cannot create the container's launcher");
}

/// Reads until the pipe ends: execve has closed it, or both children have given up.
Result<void> follow(const std::string& program, int pipe, UniqueFd go, const Deadline& deadline,
                    Spawned& launcher) {
    for (;;) {
        TRY_ASSIGN(const auto report, read_report(pipe, deadline));
        if (!report) {
            break;
        }
        if (report->kind != Report::Kind::pid) {
            return cannot_run(program, *report);
        }
        launcher.pid = report->value;
        TRY_ASSIGN(launcher.pidfd, base::open_pidfd(launcher.pid));
        go.reset();
    }
    if (!launcher.pidfd) {
        return base::fail(Code::system, "the container's launcher could not be created",
                          "the node may be out of memory or processes");
    }
    return {};
}

} // namespace

Deadline::Deadline(int timeout_ms) noexcept {
    ::clock_gettime(CLOCK_MONOTONIC, &until_);
    until_.tv_sec += timeout_ms / 1000;
    until_.tv_nsec += static_cast<long>(timeout_ms % 1000) * 1000000;
}

int Deadline::remaining_ms() const noexcept {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    const auto left =
        (until_.tv_sec - now.tv_sec) * 1000 + (until_.tv_nsec - now.tv_nsec) / 1000000;
    return left > 0 ? static_cast<int>(left) : 0;
}

Result<bool> wait_for_either(int socket, int pidfd, const Deadline& deadline) {
    for (;;) {
        std::array<pollfd, 2> waiting{pollfd{socket, POLLIN, 0}, pollfd{pidfd, POLLIN, 0}};
        const int left = deadline.remaining_ms();
        const int ready = ::poll(waiting.data(), waiting.size(), left);
        if (ready < 0 && errno != EINTR) {
            return base::fail_errno(Code::system, errno, "cannot wait for the launcher");
        }
        if (ready > 0) {
            if (waiting[0].revents != 0) {
                return true;
            }
            // Its last words may have arrived between the two looks.
            return socket >= 0 && ::poll(waiting.data(), 1, 0) > 0;
        }
        if (ready == 0 && left == 0) {
            return base::fail(Code::timed_out, "no answer in time");
        }
    }
}

Result<Spawned> spawn_launcher(const StartFacts& facts, const Deadline& deadline) {
    TRY_ASSIGN(auto report, make_pipe());
    TRY_ASSIGN(auto go, make_pipe());
    auto ready = prepare(facts);
    ready.task_report = report.writer.get();
    ready.go = go.reader.get();
    const char* program = facts.launcher_path.c_str();
    const pid_t middle = ::fork();
    if (middle < 0) {
        return base::fail_errno(Code::system, errno, "cannot create the container's launcher",
                                "the node may be out of memory or processes");
    }
    if (middle == 0) {
        ::close(go.writer.get()); // else the read below would never end
        be_middle(ready, program);
    }
    report.writer.reset();
    go.reader.reset();
    Spawned launcher;
    auto followed =
        follow(facts.launcher_path, report.reader.get(), std::move(go.writer), deadline, launcher);
    if (!followed && launcher.pidfd) {
        base::signal_pidfd(launcher.pidfd.get(), SIGKILL);
    }
    reap(middle);
    TRY(std::move(followed));
    return launcher;
}

} // namespace slipway::launcher
