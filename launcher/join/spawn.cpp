// SPDX-License-Identifier: Apache-2.0
#include "launcher/join/spawn.hpp"

#include "base/argv.hpp"
#include "base/format.hpp"
#include "base/text.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <memory>

namespace slipway::launcher::join {
namespace {

using base::Code;
using base::Result;

constexpr int step_fd = 3;
constexpr int parent_fd = 4;
constexpr int first_free_fd = 5;

/// Enough for a few system calls; each page that is not touched costs nothing.
constexpr std::size_t stack_bytes = 64 * 1024;

/// What the two children need, made before them, and what they leave behind. They run in the memory
/// of the caller, who waits: copying the page tables of slurmstepd twice would cost more than all
/// else here.
struct Spawning {
    std::vector<std::string> arguments;
    std::vector<char*> argv;
    std::array<char*, 1> environment{nullptr};
    const char* program = nullptr;
    int step_socket = -1;
    int parent_pidfd = -1;
    std::unique_ptr<char[]> stacks = std::make_unique_for_overwrite<char[]>(2 * stack_bytes);

    enum class Failed : std::uint8_t { nothing, set_up, exec };
    Failed failed = Failed::nothing;
    int error = 0; ///< errno of what has failed
    Spawned launcher;

    void fail(Failed what) noexcept {
        error = errno;
        failed = what;
    }
};

void prepare(const StartFacts& facts, Spawning& spawning) {
    spawning.arguments = {"slipway-launch", "step",
                          "--uid",          fmt::format("{}", facts.uid),
                          "--gid",          fmt::format("{}", facts.gid),
                          "--step-fd",      fmt::format("{}", step_fd),
                          "--parent-fd",    fmt::format("{}", parent_fd),
                          "--config",       facts.config_path};
    spawning.argv = base::argv_pointers(spawning.arguments);
    spawning.program = facts.launcher_path.c_str();
    spawning.step_socket = facts.launcher_socket;
    spawning.parent_pidfd = facts.stepd_pidfd;
}

/// Top of one of the two stacks, which grow downwards.
char* stack_top(const Spawning& spawning, std::size_t which) noexcept {
    constexpr std::uintptr_t alignment = 16;
    const auto top =
        reinterpret_cast<std::uintptr_t>(spawning.stacks.get() + (which + 1) * stack_bytes);
    return reinterpret_cast<char*>(top & ~(alignment - 1));
}

void reset_signals() noexcept {
    struct sigaction standard {};
    standard.sa_handler = SIG_DFL;
    for (int number = 1; number < NSIG; ++number) {
        ::sigaction(number, &standard, nullptr); // SIGKILL and SIGSTOP fail with EINVAL
    }
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

/// Moves a descriptor out of the numbers that are about to be given away.
int move_away(int fd) noexcept {
    return ::fcntl(fd, F_DUPFD_CLOEXEC, first_free_fd + 16);
}

/// Puts every descriptor in its place and closes all others.
bool arrange_descriptors(const Spawning& spawning) noexcept {
    const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    const int step = move_away(spawning.step_socket);
    const int parent = move_away(spawning.parent_pidfd);
    if (null < 0 || step < 0 || parent < 0) {
        return false;
    }
    for (int fd = 0; fd <= 2; ++fd) {
        // dup2 of a descriptor onto itself would leave close-on-exec set.
        if (fd == null ? ::fcntl(fd, F_SETFD, 0) != 0 : ::dup2(null, fd) < 0) {
            return false;
        }
    }
    return ::dup2(step, step_fd) >= 0 && ::dup2(parent, parent_fd) >= 0 &&
           ::syscall(SYS_close_range, first_free_fd, ~0U, 0) == 0;
}

/// The second child, with descriptors, signal handlers and directory of its own. System calls only.
int become_launcher(void* argument) noexcept {
    auto& spawning = *static_cast<Spawning*>(argument);
    reset_signals();
    ::umask(022);
    if (::chdir("/") != 0 || !arrange_descriptors(spawning)) {
        spawning.fail(Spawning::Failed::set_up);
        return 127;
    }
    ::execve(spawning.program, spawning.argv.data(), spawning.environment.data());
    spawning.fail(Spawning::Failed::exec);
    return 127;
}

/// The first child, which shares the caller's descriptors, too: it opens the launcher's pidfd there
/// while the launcher, running or not, is its unreaped child, so that the pid is nobody else's.
/// Then it ends, and the launcher has lost its parent.
int be_middle(void* argument) noexcept {
    auto& spawning = *static_cast<Spawning*>(argument);
    ::setsid();
    const pid_t launcher = ::clone(become_launcher, stack_top(spawning, 1),
                                   CLONE_VM | CLONE_VFORK | SIGCHLD, argument);
    if (launcher < 0) {
        spawning.fail(Spawning::Failed::set_up);
    } else if (spawning.failed == Spawning::Failed::nothing) {
        const auto pidfd = static_cast<int>(::syscall(SYS_pidfd_open, launcher, 0));
        if (pidfd < 0) {
            spawning.fail(Spawning::Failed::set_up);
            ::kill(launcher, SIGKILL);
        }
        spawning.launcher.pid = launcher;
        spawning.launcher.pidfd.reset(pidfd);
    }
    return 0;
}

/// Both children, one in the other, from beginning to end of their time in this memory.
void run_children(Spawning& spawning) noexcept {
    // A handler of the caller's must not run in a child, in the middle of the caller's data.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    ::sigprocmask(SIG_SETMASK, &all, &before);
    const pid_t middle = ::clone(be_middle, stack_top(spawning, 0),
                                 CLONE_VM | CLONE_VFORK | CLONE_FILES | SIGCHLD, &spawning);
    if (middle < 0) {
        spawning.fail(Spawning::Failed::set_up);
    } else {
        while (::waitpid(middle, nullptr, 0) < 0 && errno == EINTR) {
        }
    }
    ::sigprocmask(SIG_SETMASK, &before, nullptr);
}

} // namespace

Result<bool> wait_for_either(int socket, int pidfd, const base::Deadline& deadline) {
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

Result<Spawned> spawn_launcher(const StartFacts& facts) {
    Spawning spawning;
    prepare(facts, spawning);
    run_children(spawning);
    if (spawning.failed == Spawning::Failed::exec) {
        return base::fail_errno(Code::plugin_misconfigured, spawning.error,
                                "cannot run the container's launcher " +
                                    base::in_quotes(facts.launcher_path),
                                "ask the administrator to check launcher= in plugstack.conf");
    }
    // Without an error, the first child was killed in the middle of its work.
    if (spawning.failed != Spawning::Failed::nothing || !spawning.launcher.pidfd) {
        return base::fail_errno(Code::system, spawning.error,
                                "cannot create the container's launcher",
                                "the node may be out of memory or processes");
    }
    return std::move(spawning.launcher);
}

} // namespace slipway::launcher::join
