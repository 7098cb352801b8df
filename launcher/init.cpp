// SPDX-License-Identifier: Apache-2.0
#include "launcher/init.hpp"

#include "base/pipe.hpp"
#include "launcher/join/join.hpp"
#include "launcher/namespaces.hpp"

#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <optional>

namespace slipway::launcher {
namespace {

using base::Code;
using base::fail_errno;
using base::Result;
using base::UniqueFd;

/// Job control stays with the kernel: a stopped shell stops what is outside, too. Signals of faults
/// are for the process that made the fault.
constexpr std::array left_alone{SIGTSTP, SIGTTIN, SIGTTOU, SIGCONT, SIGSEGV, SIGBUS,
                                SIGFPE,  SIGILL,  SIGTRAP, SIGSYS,  SIGABRT};
/// Before the command runs these end the start; nobody is there who could handle them.
constexpr std::array ending{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

/// What is taken from signalfd(2), SIGCHLD among it.
sigset_t passed_on() noexcept {
    sigset_t set;
    sigfillset(&set);
    for (const int number : left_alone) {
        sigdelset(&set, number);
    }
    return set;
}

bool ends_the_start(int number) noexcept {
    for (const int one : ending) {
        if (one == number) {
            return true;
        }
    }
    return false;
}

/// Reaps all that have ended; the exit code once `child` is among them.
std::optional<int> reap(pid_t child) noexcept {
    std::optional<int> code;
    int status = 0;
    for (pid_t ended = 0; (ended = ::waitpid(-1, &status, WNOHANG)) > 0;) {
        if (ended == child) {
            code = base::exit_code_of(status);
        }
    }
    return code;
}

/// The life of the process outside and of init. `starting` is readable, at its end, when the
/// command runs; -1 when it does already.
[[noreturn]] void stand_before(pid_t child, int signals, int starting) noexcept {
    for (;;) {
        std::array<pollfd, 2> waiting{{{signals, POLLIN, 0}, {starting, POLLIN, 0}}};
        if (::poll(waiting.data(), waiting.size(), -1) < 0) {
            continue;
        }
        if (waiting[1].revents != 0) {
            starting = -1;
        }
        signalfd_siginfo info{};
        if (waiting[0].revents == 0 || ::read(signals, &info, sizeof info) != sizeof info) {
            continue;
        }
        const int number = static_cast<int>(info.ssi_signo);
        if (number == SIGCHLD) {
            if (const auto code = reap(child)) {
                ::_exit(*code);
            }
        } else if (starting >= 0 && ends_the_start(number)) {
            ::kill(child, SIGKILL);
            ::waitpid(child, nullptr, 0);
            ::_exit(128 + number);
        } else if (info.ssi_code != SI_KERNEL) { // the terminal has told everybody
            ::kill(child, number);
        }
    }
}

/// A process that is gone leaves its pidfd readable.
bool is_gone(int pidfd) noexcept {
    pollfd ended{pidfd, POLLIN, 0};
    return ::poll(&ended, 1, 0) == 1;
}

/// fork(2) for the one that will stand before its child, and in whose place signals come by the
/// descriptor. The child has the signal mask that the caller had.
Result<pid_t> fork_behind(UniqueFd& signals) {
    const auto set = passed_on();
    signals.reset(::signalfd(-1, &set, SFD_CLOEXEC));
    if (!signals) {
        return fail_errno(Code::system, errno, "cannot receive signals");
    }
    sigset_t before;
    ::sigprocmask(SIG_BLOCK, &set, &before);
    const pid_t child = ::fork();
    const int err = errno;
    if (child <= 0) {
        ::sigprocmask(SIG_SETMASK, &before, nullptr);
    }
    if (child < 0) {
        return fail_errno(Code::system, err, "cannot start the container's first process",
                          "the number of processes or the memory may be limited");
    }
    return child;
}

/// What a process that only waits has no use for. The descriptors are above 2.
void close_all_but(int one, int other) noexcept {
    const auto low = static_cast<unsigned>(std::min(one, other));
    const auto high = static_cast<unsigned>(std::max(one, other));
    constexpr unsigned first = STDERR_FILENO + 1;
    if (low > first) {
        ::close_range(first, low - 1, 0);
    }
    if (high > low + 1) {
        ::close_range(low + 1, high - 1, 0);
    }
    ::close_range(high + 1, UINT_MAX, 0);
}

} // namespace

Result<PidNamespace> PidNamespace::enter() {
    TRY_ASSIGN(const auto outside, base::open_pidfd(::getpid()));
    TRY_ASSIGN(auto starting, base::make_pipe());
    if (::unshare(CLONE_NEWPID) != 0) {
        return base::Unexpected(userns_error(errno, "cannot create a process namespace"));
    }
    UniqueFd signals;
    TRY_ASSIGN(const auto child, fork_behind(signals));
    if (child == 0) {
        if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || is_gone(outside.get())) {
            ::_exit(static_cast<int>(base::ExitCode::setup));
        }
        return PidNamespace(std::move(starting.writer));
    }
    close_all_but(signals.get(), starting.reader.get());
    (void)join::drop_privileges_for_good().has_value(); // nothing is done with them
    stand_before(child, signals.get(), starting.reader.get());
}

Result<void> PidNamespace::start_init() {
    UniqueFd signals;
    TRY_ASSIGN(const auto child, fork_behind(signals));
    if (child == 0) {
        return {};
    }
    close_all_but(signals.get(), signals.get());
    // Nobody in the container may look into it or trace it.
    ::prctl(PR_SET_DUMPABLE, 0);
    ::prctl(PR_SET_NAME, "slipway-init");
    stand_before(child, signals.get(), -1);
}

} // namespace slipway::launcher
