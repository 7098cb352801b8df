// SPDX-License-Identifier: Apache-2.0
// Stands in for slipway-launch in tests of the tasks' side: speaks the protocol of the step socket,
// and breaks it in the way that the name of its "configuration" says. It has namespaces of its own
// but no image: the container is the host's tree.
#include "launcher/join/protocol.hpp"
#include "launcher/join/request.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

using namespace slipway;
using namespace slipway::launcher::join;

namespace {

std::string mode;
int step = 3;
int parent = 4;

bool mode_is(std::string_view name) {
    return mode.ends_with(name);
}

[[noreturn]] void give_up(const base::Error& error) {
    (void)send_message(step, MessageType::failed, encode(error));
    ::_exit(1);
}

void become_user(uid_t uid, gid_t gid) {
    if (::getuid() == 0 && (::setresgid(gid, gid, gid) != 0 || ::setresuid(uid, uid, uid) != 0)) {
        give_up({base::Code::system, 0, "cannot become the user", ""});
    }
    if (mode_is("unshared-nothing")) {
        return;
    }
    if (::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) {
        give_up({base::Code::userns_unavailable, errno, "unshare", ""});
    }
    ::prctl(PR_SET_DUMPABLE, 1); // else the maps belong to root and only root can write them
}

void send_ready(const Request& request) {
    JoinRecord record;
    record.environment = {{"FAKE_IMAGE", request.image}, {"FAKE_GONE", std::nullopt}};
    record.cwd = request.workdir.empty() ? request.cwd : request.workdir;
    record.cwd_was_asked_for = !request.workdir.empty();
    record.image_name = "fake";
    base::UniqueFd file;
    if (mode_is("unsealed")) {
        file.reset(::memfd_create("record", MFD_CLOEXEC));
        (void)base::write_all(file.get(), encode(record));
    } else {
        file = std::move(*base::sealed_memfd("record", encode(record)));
    }
    const base::UniqueFd user(::open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC));
    const base::UniqueFd mount(::open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC));
    const int fds[] = {user.get(), mode_is("swapped") ? user.get() : mount.get(), file.get()};
    const auto body = encode(ReadyBody{{CLONE_NEWUSER, CLONE_NEWNS}});
    (void)send_message(step, MessageType::ready, body,
                       std::span<const int>(fds, mode_is("too-few-fds") ? 2 : 3));
}

void ask_for_fuse(const Request& request) {
    for (int i = mode_is("fuse-twice") ? 2 : 1; i > 0; --i) {
        (void)send_message(step, MessageType::need_fuse);
        auto answer = recv_message(step, 5000);
        if (!answer || answer->type != MessageType::fuse || answer->fds.size() != 1) {
            give_up({base::Code::fuse_unavailable, 0, "no descriptor came", ""});
        }
    }
    send_ready(request);
}

void serve(const Request& request) {
    for (;;) {
        pollfd waiting[] = {{step, POLLIN, 0}, {parent, POLLIN, 0}};
        ::poll(waiting, 2, -1);
        if (waiting[1].revents != 0) {
            return;
        }
        const auto message = recv_message(step, 0);
        if (!message || message->type != MessageType::join) {
            return;
        }
        if (mode_is("dies-at-join")) {
            return;
        }
        send_ready(request);
    }
}

Request receive_request() {
    auto mapped = recv_message(step, 5000);
    auto message = recv_message(step, 5000);
    if (!mapped || mapped->type != MessageType::mapped || !message ||
        message->type != MessageType::request || message->fds.size() != 1) {
        give_up({base::Code::launcher_failed, 0, "no request came", ""});
    }
    auto bytes = base::read_to_end(message->fds[0].get(), max_request_bytes);
    auto request = decode_request(bytes ? *bytes : "");
    if (!request) {
        give_up(request.error());
    }
    return *request;
}

/// "fd N" for every descriptor that should not be here, and for streams that lead somewhere.
std::string strange_descriptors() {
    std::string found;
    for (const char* stream : {"0", "1", "2"}) {
        char target[64] = "";
        const auto name = std::string("/proc/self/fd/") + stream;
        if (::readlink(name.c_str(), target, sizeof target - 1) < 0 ||
            std::string_view(target) != "/dev/null") {
            found += std::string(" ") + stream;
        }
    }
    for (int fd = 5; fd < 1024; ++fd) {
        if (::fcntl(fd, F_GETFD) >= 0) {
            found += " " + std::to_string(fd);
        }
    }
    return found;
}

} // namespace

int main(int argc, char** argv) {
    if (argc != 12) {
        return 2;
    }
    mode = argv[11];
    if (mode_is("ends-at-once")) {
        return 0;
    }
    if (mode_is("hangs")) {
        ::pause();
    }
    if (const auto found = strange_descriptors(); !found.empty() || ::getenv("PATH") != nullptr) {
        give_up({base::Code::internal, 0, "inherited:" + found, ""});
    }
    become_user(static_cast<uid_t>(std::atol(argv[3])), static_cast<gid_t>(std::atol(argv[5])));
    if (mode_is("wrong-first-word")) {
        (void)send_message(step, MessageType::ready);
    } else {
        (void)send_message(step, MessageType::unshared);
    }
    const auto request = receive_request();
    if (mode_is("warns")) {
        (void)send_message(step, MessageType::warning, "mind\nthe gap");
    }
    if (mode_is("fails")) {
        give_up({base::Code::image_not_found, ENOENT, "no " + request.image, "look again"});
    }
    if (mode_is("times-out")) {
        give_up({base::Code::timed_out, 0, "the script took longer than 10 s", ""});
    }
    if (mode_is("dies")) {
        return 0;
    }
    if (mode_is("silent")) {
        ::pause();
    }
    while (mode_is("never-stops") &&
           send_message(step, MessageType::warning, "and another thing")) {
    }
    if (mode_is("fuse") || mode_is("fuse-twice")) {
        ask_for_fuse(request);
    } else {
        send_ready(request);
    }
    serve(request);
    return 0;
}
