// SPDX-License-Identifier: Apache-2.0
#include "launcher/init.hpp"

#include "base/pipe.hpp"
#include "launcher/join/join.hpp"
#include "launcher/namespaces.hpp"

#include <fcntl.h>
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
#include <initializer_list>
#include <optional>
#include <span>

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
/// Before the command runs these end the start, unless the caller ignores them; nobody is there who
/// could handle them.
constexpr std::array ending{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGALRM};
/// What a terminal sends to everybody in its foreground. A SIGHUP is not among it: only the leader
/// of the session is told that the terminal is gone, and that may be the process outside.
constexpr std::array from_terminal{SIGINT, SIGQUIT, SIGWINCH};

/// What is taken from signalfd(2), SIGCHLD among it.
sigset_t passed_on() noexcept {
    sigset_t set;
    sigfillset(&set);
    for (const int number : left_alone) {
        sigdelset(&set, number);
    }
    return set;
}

bool is_one_of(std::span<const int> numbers, int number) noexcept {
    return std::find(numbers.begin(), numbers.end(), number) != numbers.end();
}

bool ends_the_start(int number) noexcept {
    struct sigaction now {};
    ::sigaction(number, nullptr, &now);
    return is_one_of(ending, number) && now.sa_handler != SIG_IGN;
}

/// Others from the kernel, those of timers for example, are for one process.
bool all_have_it(const signalfd_siginfo& info) noexcept {
    return info.ssi_code == SI_KERNEL && is_one_of(from_terminal, static_cast<int>(info.ssi_signo));
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

/// The life of the process outside and of init; gives the exit code. `starting` is readable, at its
/// end, when the command runs; -1 when it does already.
int stand_before(pid_t child, int signals, int starting) noexcept {
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
                return *code;
            }
        } else if (starting >= 0 && ends_the_start(number)) {
            ::kill(child, SIGKILL);
            ::waitpid(child, nullptr, 0);
            return 128 + number;
        } else if (!all_have_it(info)) {
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

/// What a process that only waits has no use for. Standard descriptors, too: whoever is at the
/// other end of a pipe shall see that the command has closed it.
void close_all_but(std::initializer_list<int> kept) noexcept {
    std::array<int, 4> order{-1, -1, -1, -1}; // -1: one that is not there
    std::copy(kept.begin(), kept.end(), order.begin());
    std::sort(order.begin(), order.end());
    unsigned first = 0;
    for (const int fd : order) {
        const auto number = static_cast<unsigned>(fd);
        if (fd > 0 && number > first) {
            ::close_range(first, number - 1, 0);
        }
        first = number + 1;
    }
    ::close_range(first, UINT_MAX, 0);
}

/// The terminal whose foreground the caller is in. A shell in the container makes itself the
/// foreground, and cannot give that back to a process group that it has no number for.
class Foreground {
  public:
    Foreground() noexcept : terminal_(::open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC)) {
        if (terminal_ && ::tcgetpgrp(terminal_.get()) != ::getpgrp()) {
            terminal_.reset();
        }
    }

    [[nodiscard]] int terminal() const noexcept { return terminal_.get(); }

    /// Unless somebody who lives has it.
    void take_back() const noexcept {
        const pid_t holder = ::tcgetpgrp(terminal_.get());
        if (holder > 0 && ::kill(-holder, 0) != 0 && errno == ESRCH) {
            sigset_t set;
            sigemptyset(&set);
            sigaddset(&set, SIGTTOU);
            ::sigprocmask(SIG_BLOCK, &set, nullptr); // it would stop us
            ::tcsetpgrp(terminal_.get(), ::getpgrp());
        }
    }

  private:
    UniqueFd terminal_;
};

} // namespace

Result<PidNamespace> PidNamespace::enter() {
    TRY_ASSIGN(const auto outside, base::open_pidfd(::getpid()));
    TRY_ASSIGN(auto starting, base::make_pipe());
    const Foreground foreground;
    if (::unshare(CLONE_NEWPID) != 0) {
        return base::Unexpected(
            userns_error(errno, "cannot create a process namespace", "user.max_pid_namespaces"));
    }
    UniqueFd signals;
    TRY_ASSIGN(const auto child, fork_behind(signals));
    if (child == 0) {
        if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || is_gone(outside.get())) {
            ::_exit(static_cast<int>(base::ExitCode::setup));
        }
        return PidNamespace(std::move(starting.writer));
    }
    close_all_but({signals.get(), starting.reader.get(), foreground.terminal()});
    (void)join::drop_privileges_for_good().has_value(); // nothing is done with them
    const int code = stand_before(child, signals.get(), starting.reader.get());
    foreground.take_back();
    ::_exit(code);
}

Result<void> PidNamespace::start_init() {
    // Nobody in the container may look into it or trace it, from its first moment on. For the
    // command that ends with exec.
    if (::prctl(PR_SET_DUMPABLE, 0) != 0) {
        return fail_errno(Code::system, errno, "cannot protect the container's first process");
    }
    UniqueFd signals;
    TRY_ASSIGN(const auto child, fork_behind(signals));
    if (child == 0) {
        return {};
    }
    close_all_but({signals.get()});
    ::prctl(PR_SET_NAME, "slipway-init");
    ::_exit(stand_before(child, signals.get(), -1));
}

} // namespace slipway::launcher
