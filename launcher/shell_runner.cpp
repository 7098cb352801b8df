// SPDX-License-Identifier: Apache-2.0
#include "launcher/shell_runner.hpp"

#include "base/child.hpp"
#include "base/fd.hpp"
#include "base/format.hpp"
#include "launcher/join/join.hpp"
#include "launcher/namespaces.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <span>

namespace slipway::launcher {
namespace {

using base::Code;
using base::fail;
using base::fail_errno;
using base::Result;
using base::UniqueFd;

constexpr std::size_t max_environment_bytes = 2U << 20U;
constexpr int channel_number = 9; ///< a single digit: POSIX shells redirect no others

/// Appended to the script: a fresh shell whose initial environment is exactly what was exported. It
/// says that it is there and waits to be killed.
constexpr const char* report = "exec /bin/sh -c 'echo >&9; read slipway_wait <&9'\n";

/// What a process is called in a procfs that need not belong to its pid namespace.
using ProcName = std::array<char, 16>;

/// Sent before anything of the image runs.
bool send_own_name(int channel, int proc_fd) {
    ProcName name{};
    return ::readlinkat(proc_fd, "self", name.data(), name.size() - 1) > 0 &&
           ::write(channel, name.data(), name.size()) == static_cast<ssize_t>(name.size());
}

[[noreturn]] void run_in_child(const std::string& text, const std::vector<std::string>& environment,
                               int channel, int proc_fd) {
    const bool named = send_own_name(channel, proc_fd); // before dup2() may take its number
    ::setsid();                                         // the scripts have no terminal
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    std::vector<char*> variables;
    for (const auto& item : environment) {
        variables.push_back(const_cast<char*>(item.c_str()));
    }
    variables.push_back(nullptr);
    const char* const arguments[] = {"sh", "-c", text.c_str(), nullptr};
    // dup2() onto itself does nothing, and leaves the descriptor close-on-exec.
    const bool placed = channel == channel_number
                            ? ::fcntl(channel, F_SETFD, 0) == 0
                            : ::dup2(channel, channel_number) == channel_number;
    if (named && join::drop_privileges_for_good() && (!null || ::dup2(null.get(), 0) == 0) &&
        ::dup2(2, 1) == 1 && placed) {
        ::execve("/bin/sh", const_cast<char* const*>(arguments), variables.data());
    }
    ::_exit(127);
}

/// The child's name comes in one piece, and so does the byte of the second shell. End of file: the
/// scripts ended the first one.
Result<void> wait_for(std::span<char> bytes, int channel, int timeout_ms) {
    pollfd waiting{channel, POLLIN, 0};
    int ready = 0;
    do {
        ready = ::poll(&waiting, 1, timeout_ms);
    } while (ready < 0 && errno == EINTR);
    if (ready == 0) {
        return fail(Code::timed_out,
                    fmt::format("the image's environment scripts did not end within {} s",
                                timeout_ms / 1000),
                    "look at the scripts in /.singularity.d/env of the image");
    }
    if (ready < 0 ||
        ::read(channel, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) {
        return fail(Code::launcher_failed, "the image's environment scripts ended early",
                    "a script in /.singularity.d/env of the image fails or calls exit");
    }
    return {};
}

Result<std::map<std::string, std::string>> read_environment(int proc_fd, const ProcName& name) {
    TRY_ASSIGN(const auto file,
               base::open_at(proc_fd, fmt::format("{}/environ", name.data()), O_RDONLY));
    TRY_ASSIGN(const auto text, base::read_to_end(file.get(), max_environment_bytes));
    std::map<std::string, std::string> variables;
    for (std::size_t at = 0; at < text.size();) {
        const auto end = std::min(text.find('\0', at), text.size());
        const auto item = text.substr(at, end - at);
        if (const auto equals = item.find('='); equals != std::string::npos && equals != 0) {
            variables.emplace(item.substr(0, equals), item.substr(equals + 1));
        }
        at = end + 1;
    }
    return variables;
}

} // namespace

ShellRunner shell_runner(int proc_fd, int timeout_ms) {
    return [proc_fd, timeout_ms](const std::string& script,
                                 const std::vector<std::string>& environment)
               -> Result<std::map<std::string, std::string>> {
        int ends[2] = {-1, -1};
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
            return fail_errno(Code::system, errno, "cannot make a socket");
        }
        const UniqueFd here(ends[0]);
        UniqueFd there(ends[1]);
        const auto text = script + report;
        // The child's destructor ends its pid namespace: daemons of the scripts would not be in the
        // cgroup of the step, and nobody would end them.
        auto child = base::Child::fork_alone(
            [&]() -> int { run_in_child(text, environment, there.get(), proc_fd); });
        if (!child) {
            return base::Unexpected(userns_error(child.error().sys_errno,
                                                 "cannot run the image's environment scripts",
                                                 "user.max_pid_namespaces"));
        }
        there.reset();
        ProcName name{};
        TRY(wait_for(name, here.get(), timeout_ms));
        char byte = 0;
        TRY(wait_for({&byte, 1}, here.get(), timeout_ms));
        return read_environment(proc_fd, name);
    };
}

} // namespace slipway::launcher
