// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/fd.hpp"

#include <functional>
#include <string>
#include <vector>

#include <sys/types.h>

namespace slipway::base {

/// A child process of ours, known by pid and pidfd. The destructor kills (SIGKILL) and reaps a
/// child that is still there, so that no error path leaves a process behind.
class Child {
  public:
    Child() noexcept = default;
    Child(Child&& other) noexcept;
    Child& operator=(Child&& other) noexcept;
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;
    ~Child();

    /// fork(2); `body` runs in the child and its return value is the exit code (via _exit), that of
    /// ExitCode::setup when it throws.
    static Result<Child> fork(const std::function<int()>& body);
    /// The same with the child as the first process of a new pid namespace: whatever it leaves
    /// behind, in sessions of its own or not, is gone when the child has been reaped. Needs
    /// CAP_SYS_ADMIN in the caller's user namespace, and that no other thread holds a lock of libc.
    static Result<Child> fork_alone(const std::function<int()>& body);

    struct Spawn {
        std::string program;                ///< absolute path
        std::vector<std::string> arguments; ///< argv, including argv[0]
        std::vector<std::string> environment;
        /// {fd here, fd number there}; everything else is closed by O_CLOEXEC. 0, 1 and 2 are
        /// inherited unless named here.
        std::vector<std::pair<int, int>> descriptors;
    };
    /// fork and execve; Code::system when the program cannot be executed (exec's errno is reported).
    static Result<Child> spawn(const Spawn& what);

    [[nodiscard]] pid_t pid() const noexcept { return pid_; }
    [[nodiscard]] int pidfd() const noexcept { return pidfd_.get(); }
    [[nodiscard]] bool running() const noexcept { return pid_ > 0; }

    /// Waits and returns the status of waitpid(2). Retried on EINTR.
    Result<int> wait();
    /// Waits at most that long; Code::timed_out leaves the child alone.
    Result<int> wait_for(int timeout_ms);
    void signal(int number) const noexcept;
    /// Gives up ownership: the child lives on, nobody here reaps it.
    pid_t detach() noexcept;

  private:
    Child(pid_t pid, UniqueFd pidfd) noexcept : pid_(pid), pidfd_(std::move(pidfd)) {}
    static Result<Child> run(pid_t pid, const std::function<int()>& body);
    void kill_and_reap() noexcept;

    pid_t pid_ = -1;
    UniqueFd pidfd_;
};

/// pidfd_open(2).
Result<UniqueFd> open_pidfd(pid_t pid);
/// pidfd_send_signal(2); false when the process is gone.
bool signal_pidfd(int pidfd, int number) noexcept;

/// Exit code for people and shells from a waitpid status: the code, or 128+signal.
int exit_code_of(int wait_status) noexcept;

} // namespace slipway::base
