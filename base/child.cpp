// SPDX-License-Identifier: Apache-2.0
#include "base/child.hpp"

#include "base/argv.hpp"
#include "base/barrier.hpp"
#include "base/deadline.hpp"
#include "base/pipe.hpp"
#include "base/text.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>

#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace slipway::base {
namespace {

/// Puts the descriptors where the new program expects them. First away from all target numbers,
/// then into place, so that no move overwrites one that is still needed.
bool place_descriptors(std::vector<std::pair<int, int>>& wanted) noexcept {
    int above = 3;
    for (const auto& [from, to] : wanted) {
        above = std::max(above, to + 1);
    }
    for (auto& [from, to] : wanted) {
        from = ::fcntl(from, F_DUPFD_CLOEXEC, above);
        if (from < 0) {
            return false;
        }
    }
    // Libraries make descriptors without O_CLOEXEC (libcurl its wake-up pipe): none may pass.
    ::syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC);
    for (const auto& [from, to] : wanted) {
        if (::dup2(from, to) < 0) {
            return false;
        }
    }
    return true;
}

} // namespace

Child::Child(Child&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), pidfd_(std::move(other.pidfd_)) {}

Child& Child::operator=(Child&& other) noexcept {
    if (this != &other) {
        kill_and_reap();
        pid_ = std::exchange(other.pid_, -1);
        pidfd_ = std::move(other.pidfd_);
    }
    return *this;
}

Child::~Child() {
    kill_and_reap();
}

void Child::kill_and_reap() noexcept {
    if (pid_ <= 0) {
        return;
    }
    // By descriptor: where somebody else reaps our children (slurmstepd does), the number may be
    // that of another process by now.
    siginfo_t ended{};
    if (pidfd_) {
        signal_pidfd(pidfd_.get(), SIGKILL);
        while (::waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &ended, WEXITED) != 0 &&
               errno == EINTR) {
        }
    } else {
        ::kill(pid_, SIGKILL);
        while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
        }
    }
    pid_ = -1;
}

Result<Child> Child::fork(const std::function<int()>& body) {
    return run(::fork(), body);
}

Result<Child> Child::fork_alone(const std::function<int()>& body) {
    // libc has no wrapper that returns twice.
    return run(static_cast<pid_t>(::syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, nullptr, nullptr,
                                            nullptr, nullptr)),
               body);
}

/// Both sides after a fork.
Result<Child> Child::run(pid_t pid, const std::function<int()>& body) {
    if (pid < 0) {
        return fail_errno(Code::system, errno, "cannot create a process");
    }
    if (pid == 0) {
        // What an exception would unwind is the caller's, who is still at work on it elsewhere.
        auto code = static_cast<int>(ExitCode::setup);
        (void)completes([&] { code = body(); });
        ::_exit(code);
    }
    auto pidfd = open_pidfd(pid);
    if (!pidfd) {
        Child half(pid, UniqueFd());
        return Unexpected(std::move(pidfd).error());
    }
    return Child(pid, std::move(*pidfd));
}

Result<Child> Child::spawn(const Spawn& what) {
    TRY_ASSIGN(auto report, make_pipe());
    // Everything that allocates is done before the fork: the caller may have threads.
    auto arguments = argv_pointers(what.arguments);
    auto environment = argv_pointers(what.environment);
    auto descriptors = what.descriptors;
    descriptors.reserve(descriptors.size());
    TRY_ASSIGN(auto child, fork([&] {
                   // exec keeps the report end only when place_descriptors() has not hit it.
                   const int safe = ::fcntl(report.writer.get(), F_DUPFD_CLOEXEC, 1000);
                   const int channel = safe >= 0 ? safe : report.writer.get();
                   sigset_t none;
                   sigemptyset(&none);
                   ::sigprocmask(SIG_SETMASK, &none, nullptr);
                   if (place_descriptors(descriptors)) {
                       ::execve(what.program.c_str(), arguments.data(), environment.data());
                   }
                   const int err = errno;
                   (void)!::write(channel, &err, sizeof err);
                   return 127;
               }));
    report.writer.reset();
    int err = 0;
    ssize_t got = 0;
    do {
        got = ::read(report.reader.get(), &err, sizeof err);
    } while (got < 0 && errno == EINTR);
    if (got == static_cast<ssize_t>(sizeof err)) {
        return fail_errno(Code::system, err, "cannot run " + in_quotes(what.program));
    }
    return child;
}

Result<int> Child::wait() {
    return wait_for(-1);
}

Result<int> Child::wait_for(int timeout_ms) {
    if (pid_ <= 0) {
        return fail(Code::internal, "no child to wait for");
    }
    const Deadline deadline(timeout_ms);
    for (;;) {
        pollfd waiting{pidfd_.get(), POLLIN, 0};
        const int ready = ::poll(&waiting, 1, deadline.remaining_ms());
        if (ready > 0) {
            break;
        }
        if (ready < 0 && errno != EINTR) {
            return fail_errno(Code::system, errno, "cannot wait for a process");
        }
        if (ready == 0 || deadline.passed()) {
            return fail(Code::timed_out, "a process did not end in time");
        }
    }
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0) {
        if (errno != EINTR) {
            pid_ = -1; // somebody else reaped it (slurmstepd does); there is no status to be had
            return fail_errno(Code::system, errno, "cannot reap a process");
        }
    }
    pid_ = -1;
    return status;
}

void Child::signal(int number) const noexcept {
    if (pid_ > 0) {
        signal_pidfd(pidfd_.get(), number);
    }
}

pid_t Child::detach() noexcept {
    pidfd_.reset();
    return std::exchange(pid_, -1);
}

Result<UniqueFd> open_pidfd(pid_t pid) {
    const long fd = ::syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0) {
        return fail_errno(Code::system, errno, "cannot open a process");
    }
    return UniqueFd(static_cast<int>(fd));
}

bool signal_pidfd(int pidfd, int number) noexcept {
    return ::syscall(SYS_pidfd_send_signal, pidfd, number, nullptr, 0) == 0;
}

int exit_code_of(int wait_status) noexcept {
    return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

} // namespace slipway::base
