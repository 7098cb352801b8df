// SPDX-License-Identifier: Apache-2.0
#include "launcher/step_supervisor.hpp"

#include "base/barrier.hpp"
#include "base/format.hpp"
#include "launcher/become_user.hpp"
#include "launcher/container.hpp"
#include "launcher/join/join.hpp"
#include "launcher/join/protocol.hpp"
#include "launcher/keeper.hpp"
#include "launcher/orphans.hpp"
#include "launcher/read_ahead.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <optional>

namespace slipway::launcher {
namespace {

using base::Code;
using base::Error;
using base::fail;
using base::fail_errno;
using base::Result;
using base::UniqueFd;

/// How long the first task may take for its part; it does a few system calls.
constexpr int peer_timeout_ms = 60'000;
/// How long this process outlives slurmstepd at most. Ending the container takes milliseconds.
constexpr int orphan_grace_ms = 5000;
/// Before a next try where the kernel has no memory or descriptors to give.
constexpr useconds_t retry_delay_us = 10'000;

sigset_t termination() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    return set;
}

/// From before the first task can end the step: SIGTERM is then waited for, so that the image's
/// server is surely gone before this process is. Dying of it would leave the server to PDEATHSIG,
/// too late for the removal of the step's cgroups.
void hold_back_termination() {
    const auto set = termination();
    ::sigprocmask(SIG_BLOCK, &set, nullptr);
}

/// What every task gets.
struct Offer {
    std::vector<std::uint32_t> kinds;
    std::vector<UniqueFd> descriptors; ///< namespaces, then the record
};

class Supervisor {
  public:
    explicit Supervisor(StepOptions options) : options_(std::move(options)) {}
    int run();

  private:
    Result<void> start();
    Result<join::Message> expect(join::MessageType type) const;
    Result<join::Request> receive_request() const;
    Result<UniqueFd> fuse_device() const;
    Result<void> make_offer(const join::JoinRecord& record);
    Result<void> send_offer() const;
    Result<void> answer_one() const;
    bool answer_or_refuse() const;
    bool handle_message() noexcept;
    void warn(std::string_view line) const;
    int serve();

    StepOptions options_;
    Offer offer_;
    UniqueFd proc_;
    std::vector<base::Child> servers_;
    bool server_lost_ = false;
};

Result<join::Message> Supervisor::expect(join::MessageType type) const {
    TRY_ASSIGN(auto message, join::recv_message(options_.step.get(), peer_timeout_ms));
    if (message.type != type) {
        return fail(Code::launcher_failed, "the plugin sent something unexpected",
                    "plugin and slipway-launch must come from the same release");
    }
    return message;
}

Result<join::Request> Supervisor::receive_request() const {
    TRY_ASSIGN(const auto message, expect(join::MessageType::request));
    if (message.fds.size() != 1) {
        return fail(Code::launcher_failed, "the plugin sent a request without its content");
    }
    std::string bytes;
    // The descriptor's position belongs to whoever wrote it.
    if (::lseek(message.fds[0].get(), 0, SEEK_SET) != 0) {
        return fail_errno(Code::launcher_failed, errno, "cannot read the plugin's request");
    }
    TRY_ASSIGN(bytes, base::read_to_end(message.fds[0].get(), join::max_request_bytes));
    return join::decode_request(bytes);
}

/// The user may open it on most systems; where they may not, the first task, still root, does.
Result<UniqueFd> Supervisor::fuse_device() const {
    auto own = open_fuse_device();
    if (own || (own.error().sys_errno != EACCES && own.error().sys_errno != EPERM)) {
        return own;
    }
    TRY(join::send_message(options_.step.get(), join::MessageType::need_fuse));
    TRY_ASSIGN(auto message, expect(join::MessageType::fuse));
    if (message.fds.size() != 1) {
        return fail(Code::fuse_unavailable, "the plugin sent no descriptor of /dev/fuse");
    }
    return std::move(message.fds[0]);
}

void Supervisor::warn(std::string_view line) const {
    // A warning that cannot be sent stops nothing.
    (void)join::send_message(options_.step.get(), join::MessageType::warning, line.substr(0, 2048))
        .has_value();
}

Result<void> Supervisor::make_offer(const join::JoinRecord& record) {
    TRY_ASSIGN(auto user, base::open_file("/proc/self/ns/user", O_RDONLY));
    TRY_ASSIGN(auto mounts, base::open_file("/proc/self/ns/mnt", O_RDONLY));
    TRY_ASSIGN(proc_, base::open_file("/proc", O_RDONLY | O_DIRECTORY));
    TRY_ASSIGN(auto memory, base::sealed_memfd("slipway-record", encode(record)));
    offer_.kinds = {CLONE_NEWUSER, CLONE_NEWNS};
    offer_.descriptors.clear();
    offer_.descriptors.push_back(std::move(user));
    offer_.descriptors.push_back(std::move(mounts));
    offer_.descriptors.push_back(std::move(memory));
    return {};
}

Result<void> Supervisor::send_offer() const {
    std::vector<int> numbers;
    for (const auto& fd : offer_.descriptors) {
        numbers.push_back(fd.get());
    }
    return join::send_message(options_.step.get(), join::MessageType::ready,
                              encode(join::ReadyBody{offer_.kinds}), numbers);
}

Result<void> Supervisor::start() {
    TRY(join::send_message(options_.step.get(), join::MessageType::unshared));
    TRY(expect(join::MessageType::mapped));
    TRY(verify_identity(options_.uid, options_.gid));
    // From the first file of the user on this process may wait for somebody without end.
    TRY(end_with(options_.parent.get(), orphan_grace_ms));
    TRY_ASSIGN(const auto request, receive_request());
    TRY_ASSIGN(const auto config, config::load_fd(options_.config.get(), options_.config_path));
    options_.config.reset();
    TRY_ASSIGN(const auto roots, open_root_images(request, config));
    MountRootsOptions options;
    options.open_fuse = [this] { return fuse_device(); };
    options.server_threads = config.launcher.squashfs_threads;
    options.server_dies_with_us = true;
    TRY_ASSIGN(auto mounted, mount_roots(roots, options));
    servers_ = std::move(mounted.servers);
    TRY_ASSIGN(const auto record,
               build_container({request, config, roots, std::move(mounted.mounts), {}},
                               [this](std::string_view line) { warn(line); }));
    // The namespace descriptors through /proc of the container, which the user may have left out.
    TRY(make_offer(record));
    TRY(join::drop_privileges_for_good());
    hold_back_termination();
    return send_offer();
}

/// Reads one message of a task and answers it. An error is for the task that sent it, but for
/// Code::launcher_lost: the other end is closed.
Result<void> Supervisor::answer_one() const {
    TRY_ASSIGN(const auto message, join::recv_message(options_.step.get(), 0));
    if (message.type != join::MessageType::join) {
        return {}; // a left-over of a task that died in the middle
    }
    if (server_lost_) {
        const Error error{Code::launcher_lost, 0,
                          "the process that serves the container's image has ended",
                          "look for memory shortage on the node"};
        return join::send_message(options_.step.get(), join::MessageType::failed,
                                  join::encode(error));
    }
    return send_offer();
}

/// An answer, or the error in its place. False when there will be no more messages.
bool Supervisor::answer_or_refuse() const {
    auto answered = answer_one();
    if (answered || answered.error().code == Code::timed_out) {
        return true;
    }
    if (answered.error().code == Code::launcher_lost) {
        return false;
    }
    if (answered.error().sys_errno != 0) {
        ::usleep(retry_delay_us); // short of memory or descriptors
    }
    // A task that asks and does not read must not keep the launcher waiting.
    pollfd room{options_.step.get(), POLLOUT, 0};
    if (::poll(&room, 1, 0) == 1 && (room.revents & POLLOUT) != 0) {
        const auto refused = join::send_message(options_.step.get(), join::MessageType::failed,
                                                join::encode(answered.error()));
        return refused || refused.error().code != Code::launcher_lost;
    }
    return true;
}

/// Whatever one task sends, and whatever fails on the way to it, is no reason to end the others.
bool Supervisor::handle_message() noexcept {
    bool more = true;
    if (!base::completes([&] { more = answer_or_refuse(); })) {
        ::usleep(retry_delay_us); // no memory; the task learns of it by its own time limit
    }
    return more;
}

int Supervisor::serve() {
    const auto term = termination();
    const UniqueFd signals(::signalfd(-1, &term, SFD_CLOEXEC));
    std::vector<pollfd> waiting{{options_.parent.get(), POLLIN, 0},
                                {options_.step.get(), POLLIN, 0},
                                {signals.get(), POLLIN, 0}};
    for (const auto& server : servers_) {
        waiting.push_back({server.pidfd(), POLLIN, 0});
    }
    for (;;) {
        if (::poll(waiting.data(), waiting.size(), -1) < 0) {
            if (errno == EINTR) {
                continue;
            }
            return 1;
        }
        if (waiting[2].revents != 0) {
            return 0;
        }
        for (auto server = waiting.begin() + 3; server != waiting.end(); ++server) {
            if (server->revents != 0) {
                server_lost_ = true;
                server->fd = -1; // it has been seen
            }
        }
        // The socket closes a moment before the process that held it is gone.
        if (waiting[0].revents != 0 || (waiting[1].revents != 0 && !handle_message())) {
            return 0;
        }
    }
}

int Supervisor::run() {
    std::optional<Result<void>> started;
    if (!base::completes([&] { started = start(); })) {
        started = fail_errno(Code::launcher_failed, ENOMEM, "cannot set up the container",
                             "the node or the job is short of memory");
    }
    if (!*started) {
        (void)join::send_message(options_.step.get(), join::MessageType::failed,
                                 join::encode(started->error()))
            .has_value();
        return 1;
    }
    // While the first task enters, which takes a moment.
    if (!servers_.empty()) {
        read_ahead_loader();
    }
    const int code = serve();
    // All tasks have ended, or their slurmstepd was killed and Slurm has forgotten them.
    kill_container_processes(proc_.get());
    return code; // the destructors of servers_ kill and reap
}

} // namespace

int supervise_step(StepOptions options) {
    return Supervisor(std::move(options)).run();
}

} // namespace slipway::launcher
