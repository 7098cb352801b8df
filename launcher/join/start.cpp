// SPDX-License-Identifier: Apache-2.0
#include "launcher/join/start.hpp"

#include "base/barrier.hpp"
#include "base/child.hpp"
#include "base/format.hpp"
#include "base/process.hpp"
#include "base/text.hpp"
#include "launcher/join/spawn.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>

namespace slipway::launcher::join {
namespace {

using base::Code;
using base::Deadline;
using base::Result;
using base::UniqueFd;

/// gid_map takes less than a page and at most 340 lines (user_namespaces(7)).
constexpr std::size_t max_map_bytes = 4095;
constexpr std::size_t max_map_lines = 340;
constexpr int max_warnings = 64;
/// Of answers to tasks that were killed. Each task leaves one at most, and the next one takes it.
constexpr int max_left_behind = 64;

base::Unexpected protocol_error(std::string_view what) {
    return base::fail(Code::launcher_failed,
                      fmt::format("the container's launcher broke the protocol: {}", what),
                      "install plugin and launcher from the same release");
}

/// How long a step waits for its launcher, for the message when it was too long.
struct TimeLimit {
    explicit TimeLimit(int timeout) noexcept : timeout_ms(timeout), deadline(timeout) {}
    int timeout_ms;
    Deadline deadline;
};

/// Next message, or an error when the launcher has died. Both sides of the socket are open in many
/// processes, so only the pidfd shows that. The limit holds for a launcher that never stops
/// talking, too.
Result<Message> next_message(int socket, int pidfd, const TimeLimit& limit) {
    auto readable = wait_for_either(socket, pidfd, limit.deadline);
    if (readable ? limit.deadline.passed() : readable.error().code == Code::timed_out) {
        return base::fail(
            Code::timed_out,
            fmt::format("the container was not ready within {} s", limit.timeout_ms / 1000),
            "try again; the file system that holds the image may be slow");
    }
    TRY(readable);
    if (!*readable) {
        return base::fail(Code::launcher_lost, "the container's launcher has ended unexpectedly",
                          "try again; the system log of the node may say more (out of memory?)");
    }
    return recv_message(socket, 0);
}

Result<void> write_map(int process_dir, const char* name, std::string_view text) {
    auto file = base::open_at(process_dir, name, O_WRONLY);
    auto written = file ? base::write_all(file->get(), text)
                        : Result<void>(base::Unexpected(std::move(file).error()));
    if (!written) {
        return base::fail_errno(Code::userns_unavailable, written.error().sys_errno,
                                fmt::format("cannot set up the container's user ids ({})", name),
                                "ask the administrator to look at the limits of user namespaces");
    }
    return {};
}

Result<void> write_maps(const StartFacts& facts, int process_dir) {
    // setgroups first: groups that the maps do not cover must stay with the user, because giving
    // one up could open files that deny that group.
    TRY(write_map(process_dir, "setgroups", "deny"));
    TRY(write_map(process_dir, "uid_map", fmt::format("{0} {0} 1\n", facts.uid)));
    return write_map(process_dir, "gid_map", gid_map_text(facts.gid, facts.groups));
}

bool same_namespace(int process_dir, const char* name) {
    struct stat theirs {};
    struct stat ours {};
    return ::fstatat(process_dir, name, &theirs, 0) == 0 &&
           ::stat(fmt::format("/proc/self/{}", name).c_str(), &ours) == 0 &&
           theirs.st_ino == ours.st_ino && theirs.st_dev == ours.st_dev;
}

/// The child of send_fuse(); its errno, 0 for success.
int open_and_send_fuse(int user_namespace, int task_socket) {
    if (::setns(user_namespace, CLONE_NEWUSER) != 0) {
        return errno;
    }
    const UniqueFd fuse(::open("/dev/fuse", O_RDWR | O_CLOEXEC));
    if (!fuse) {
        return errno;
    }
    const int fds[] = {fuse.get()};
    return send_message(task_socket, MessageType::fuse, {}, fds) ? 0 : EPIPE;
}

/// /dev/fuse must be opened inside the launcher's user namespace to serve mounts there, by somebody
/// who may open it: a child that is still root joins the namespace, opens, and sends. Its exit code
/// is the errno.
Result<void> send_fuse(int process_dir, int task_socket) {
    TRY_ASSIGN(const auto user_ns, base::open_at(process_dir, "ns/user", O_RDONLY));
    TRY_ASSIGN(auto child, base::Child::fork([&] {
                   int err = ENOMEM;
                   (void)base::completes(
                       [&] { err = open_and_send_fuse(user_ns.get(), task_socket); });
                   return err;
               }));
    constexpr int open_timeout_ms = 10000;
    const auto status = child.wait_for(open_timeout_ms);
    if (!status && status.error().code == Code::timed_out) {
        return base::fail(
            Code::fuse_unavailable,
            fmt::format("opening /dev/fuse took longer than {} s", open_timeout_ms / 1000),
            "ask the administrator to look at the node's kernel log");
    }
    TRY(status);
    const int err = base::exit_code_of(*status);
    if (err != 0) {
        return base::fail_errno(Code::fuse_unavailable, err, "cannot open /dev/fuse on this node",
                                "ask the administrator to load the fuse kernel module");
    }
    return {};
}

/// Everything after the launcher has begun to run.
class Conversation {
  public:
    Conversation(const StartFacts& facts, const Spawned& launcher, const TimeLimit& limit,
                 const std::function<void(std::string_view)>& warn)
        : facts_(facts), launcher_(launcher), limit_(limit), warn_(warn) {}

    Result<JoinHandles> run(std::string_view request);

  private:
    Result<void> map_ids();
    Result<void> send_request(std::string_view request);
    Result<Message> answer();

    const StartFacts& facts_;
    const Spawned& launcher_;
    const TimeLimit& limit_;
    const std::function<void(std::string_view)>& warn_;
    UniqueFd process_dir_;
};

Result<void> Conversation::map_ids() {
    TRY_ASSIGN(const auto message, next_message(facts_.task_socket, launcher_.pidfd.get(), limit_));
    if (message.type == MessageType::failed) {
        return base::Unexpected(decode_error(message.body));
    }
    if (message.type != MessageType::unshared || message.pid != launcher_.pid) {
        return protocol_error("not the launcher speaks first");
    }
    TRY_ASSIGN(process_dir_,
               base::open_file(fmt::format("/proc/{}", launcher_.pid), O_PATH | O_DIRECTORY));
    // Still alive after the directory was opened: so the pid was still its own, and the directory
    // is.
    if (!base::signal_pidfd(launcher_.pidfd.get(), 0)) {
        return protocol_error("it ended at once");
    }
    if (same_namespace(process_dir_.get(), "ns/user")) {
        return protocol_error("it has no user namespace of its own");
    }
    return write_maps(facts_, process_dir_.get());
}

Result<void> Conversation::send_request(std::string_view request) {
    TRY(send_message(facts_.task_socket, MessageType::mapped));
    TRY_ASSIGN(const auto file, base::sealed_memfd("slipway-request", request));
    const int fds[] = {file.get()};
    return send_message(facts_.task_socket, MessageType::request, {}, fds);
}

Result<Message> Conversation::answer() {
    bool fuse_sent = false;
    int warnings = 0;
    for (;;) {
        TRY_ASSIGN(auto message, next_message(facts_.task_socket, launcher_.pidfd.get(), limit_));
        switch (message.type) {
        case MessageType::need_fuse:
            if (std::exchange(fuse_sent, true)) {
                return protocol_error("it asks for /dev/fuse twice");
            }
            TRY(send_fuse(process_dir_.get(), facts_.task_socket));
            break;
        case MessageType::warning:
            if (++warnings <= max_warnings) {
                warn_(base::printable(message.body));
            }
            break;
        case MessageType::ready:
            return message;
        case MessageType::failed:
            return base::Unexpected(decode_error(message.body));
        default:
            return protocol_error("unexpected message");
        }
    }
}

Result<JoinHandles> Conversation::run(std::string_view request) {
    TRY(map_ids());
    TRY(send_request(request));
    TRY_ASSIGN(auto ready, answer());
    return take_handles(std::move(ready));
}

/// A process that must be gone before anybody hears of the failure.
void kill_and_wait(const Spawned& launcher) {
    base::signal_pidfd(launcher.pidfd.get(), SIGKILL);
    (void)wait_for_either(-1, launcher.pidfd.get(), Deadline(2000));
}

/// Start time of a process that is surely still the one behind the pidfd: read before the pidfd is
/// asked whether that has ended. 0, which no process has, when it has.
std::uint64_t start_time_of(const Spawned& launcher) {
    const auto since = base::process_start_time(launcher.pid);
    return since && base::signal_pidfd(launcher.pidfd.get(), 0) ? *since : 0;
}

} // namespace

Result<JoinHandles> start_launcher(const StartFacts& facts, const Request& request,
                                   const std::function<void(std::string_view)>& warn,
                                   const LauncherStarted& started) {
    const auto bytes = encode(request);
    if (bytes.size() > max_request_bytes) {
        return base::fail(Code::limit_exceeded,
                          fmt::format("options and environment of the job are {} bytes long, more "
                                      "than the limit of {}",
                                      bytes.size(), max_request_bytes),
                          "make the job's environment smaller (--export)");
    }
    const TimeLimit limit(facts.timeout_ms);
    TRY_ASSIGN(const auto launcher, spawn_launcher(facts));
    started(launcher.pid, start_time_of(launcher));
    auto handles = Conversation(facts, launcher, limit, warn).run(bytes);
    if (!handles) {
        kill_and_wait(launcher);
    }
    return handles;
}

Result<JoinHandles> ask_to_join(int task_socket, pid_t launcher_pid, int timeout_ms) {
    auto pidfd = base::open_pidfd(launcher_pid);
    if (!pidfd) {
        return base::fail(Code::launcher_lost, "the container's launcher has ended",
                          "try again; the system log of the node may say more (out of memory?)");
    }
    const TimeLimit limit(timeout_ms);
    // Answers to tasks that were killed before they read them: not for this one. The launcher is
    // the user's, and one that sends without end must not keep root here.
    for (int i = 0; i < max_left_behind && recv_message(task_socket, 0); ++i) {
    }
    TRY(send_message(task_socket, MessageType::join));
    TRY_ASSIGN(auto message, next_message(task_socket, pidfd->get(), limit));
    if (message.type == MessageType::failed) {
        return base::Unexpected(decode_error(message.body));
    }
    if (message.type != MessageType::ready) {
        return protocol_error("unexpected answer to a join");
    }
    return take_handles(std::move(message));
}

Result<void> stop_process(pid_t pid, std::uint64_t start_time, int timeout_ms) {
    const auto pidfd = base::open_pidfd(pid);
    if (!pidfd) {
        return {};
    }
    const auto now = base::process_start_time(pid);
    if (!now || *now != start_time) {
        return {};
    }
    for (const int signal : {SIGTERM, SIGKILL}) {
        base::signal_pidfd(pidfd->get(), signal);
        if (wait_for_either(-1, pidfd->get(), Deadline(timeout_ms / 2)).has_value()) {
            return {};
        }
    }
    return base::fail(Code::timed_out, fmt::format("process {} survives SIGKILL", pid),
                      "its file system may be hanging");
}

std::string gid_map_text(gid_t primary, std::span<const gid_t> supplementary) {
    std::vector<gid_t> done;
    std::string text;
    const auto add = [&](gid_t group) {
        if (std::find(done.begin(), done.end(), group) != done.end()) {
            return true;
        }
        const auto line = fmt::format("{0} {0} 1\n", group);
        if (text.size() + line.size() > max_map_bytes || done.size() == max_map_lines) {
            return false;
        }
        text += line;
        done.push_back(group);
        return true;
    };
    add(primary);
    for (const gid_t group : supplementary) {
        if (!add(group)) {
            break;
        }
    }
    return text;
}

} // namespace slipway::launcher::join
