// SPDX-License-Identifier: Apache-2.0
#include "base/fd.hpp"

#include "base/deadline.hpp"
#include "base/errno_code.hpp"
#include "base/format.hpp"
#include "base/text.hpp"

#include <array>
#include <cerrno>
#include <climits>
#include <cstring>

#include <fcntl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace slipway::base {
namespace {

constexpr std::size_t max_fds = 16;

template <typename Call> auto retry(Call call) {
    decltype(call()) value;
    do {
        value = call();
    } while (value == -1 && errno == EINTR);
    return value;
}

/// Waits until the socket can be read; poll(2) restarted on EINTR with the time that is left.
Result<void> wait_readable(int socket, int timeout_ms) {
    const Deadline deadline(timeout_ms);
    for (;;) {
        pollfd waiting{socket, POLLIN, 0};
        const int ready = ::poll(&waiting, 1, deadline.remaining_ms());
        if (ready > 0) {
            return {};
        }
        if (ready < 0 && errno != EINTR) {
            return fail_errno(Code::system, errno, "cannot wait for a message");
        }
        if (ready == 0 || deadline.passed()) {
            return fail(Code::timed_out, fmt::format("no answer within {} ms", timeout_ms));
        }
    }
}

void take_control(const msghdr& message, Packet& packet) {
    for (cmsghdr* control = CMSG_FIRSTHDR(&message); control != nullptr;
         control = CMSG_NXTHDR(const_cast<msghdr*>(&message), control)) {
        if (control->cmsg_level != SOL_SOCKET) {
            continue;
        }
        if (control->cmsg_type == SCM_RIGHTS) {
            const std::size_t count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            for (std::size_t i = 0; i < count; ++i) {
                int fd = -1;
                std::memcpy(&fd, CMSG_DATA(control) + i * sizeof(int), sizeof fd);
                packet.fds.emplace_back(fd);
            }
        } else if (control->cmsg_type == SCM_CREDENTIALS) {
            ucred credentials{};
            std::memcpy(&credentials, CMSG_DATA(control), sizeof credentials);
            packet.pid = credentials.pid;
        }
    }
}

} // namespace

void UniqueFd::reset(int fd) noexcept {
    if (fd_ >= 0) {
        ::close(fd_);
    }
    fd_ = fd;
}

Result<void> UniqueFd::close() {
    const int fd = std::exchange(fd_, -1);
    // Linux has released the descriptor even when close() says EINTR.
    if (fd >= 0 && ::close(fd) != 0 && errno != EINTR) {
        return fail_errno(Code::io, errno, "cannot close a file");
    }
    return {};
}

Result<UniqueFd> open_file(const std::string& path, int flags, mode_t mode) {
    return open_at(AT_FDCWD, path, flags, mode);
}

Result<UniqueFd> open_at(int dir_fd, const std::string& path, int flags, mode_t mode) {
    const int fd = retry([&] { return ::openat(dir_fd, path.c_str(), flags | O_CLOEXEC, mode); });
    if (fd < 0) {
        return fail_errno(Code::io, errno, "cannot open " + in_quotes(path));
    }
    return UniqueFd(fd);
}

void ask_server_about(const std::string& directory) noexcept {
    (void)UniqueFd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

Result<UniqueFd> open_resolved(int dir_fd, const std::string& path, std::uint64_t flags,
                               std::uint64_t resolve, mode_t mode) {
    open_how how{};
    how.flags = flags | O_CLOEXEC;
    how.mode = mode;
    how.resolve = resolve;
    // EAGAIN: a rename or mount raced with an in-root resolution; the kernel asks for another try.
    for (int tries = 0;; ++tries) {
        const long fd = ::syscall(SYS_openat2, dir_fd, path.c_str(), &how, sizeof how);
        if (fd >= 0) {
            return UniqueFd(static_cast<int>(fd));
        }
        if (errno != EINTR && !(errno == EAGAIN && tries < 64)) {
            return fail_errno(Code::io, errno, "cannot open " + in_quotes(path));
        }
    }
}

Result<UniqueFd> duplicate(int fd) {
    const int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (copy < 0) {
        return fail_errno(Code::system, errno, "cannot duplicate a descriptor");
    }
    return UniqueFd(copy);
}

Result<void> read_exact_at(int fd, std::span<std::uint8_t> buffer, std::uint64_t offset) {
    while (!buffer.empty()) {
        const ssize_t got = retry(
            [&] { return ::pread(fd, buffer.data(), buffer.size(), static_cast<off_t>(offset)); });
        if (got < 0) {
            return fail_errno(Code::io, errno, "cannot read");
        }
        if (got == 0) {
            return fail(Code::io, "unexpected end of file");
        }
        buffer = buffer.subspan(static_cast<std::size_t>(got));
        offset += static_cast<std::uint64_t>(got);
    }
    return {};
}

Result<void> write_all(int fd, std::string_view data) {
    while (!data.empty()) {
        const ssize_t put = retry([&] { return ::write(fd, data.data(), data.size()); });
        if (put < 0) {
            return fail_write(errno, "cannot write");
        }
        data.remove_prefix(static_cast<std::size_t>(put));
    }
    return {};
}

Result<void> write_all_at(int fd, std::span<const std::uint8_t> data, std::uint64_t offset) {
    while (!data.empty()) {
        const ssize_t put = retry(
            [&] { return ::pwrite(fd, data.data(), data.size(), static_cast<off_t>(offset)); });
        if (put < 0) {
            return fail_write(errno, "cannot write");
        }
        data = data.subspan(static_cast<std::size_t>(put));
        offset += static_cast<std::uint64_t>(put);
    }
    return {};
}

Result<std::string> read_to_end(int fd, std::size_t max) {
    std::string content;
    std::array<char, 16384> chunk{};
    for (;;) {
        const ssize_t got = retry([&] { return ::read(fd, chunk.data(), chunk.size()); });
        if (got < 0) {
            return fail_errno(Code::io, errno, "cannot read");
        }
        if (got == 0) {
            return content;
        }
        if (content.size() + static_cast<std::size_t>(got) > max) {
            return fail(Code::limit_exceeded, fmt::format("longer than {} bytes", max));
        }
        content.append(chunk.data(), static_cast<std::size_t>(got));
    }
}

Result<std::string> read_file(const std::string& path, std::size_t max) {
    TRY_ASSIGN(const auto file, open_file(path, O_RDONLY | O_NOCTTY));
    auto content = read_to_end(file.get(), max);
    if (!content) {
        return Unexpected(std::move(content.error()).context(in_quotes(path)));
    }
    return content;
}

Result<UniqueFd> sealed_memfd(const char* name, std::string_view content) {
    UniqueFd file(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (!file) {
        return fail_errno(Code::system, errno, "cannot make a memory file");
    }
    TRY(write_all(file.get(), content));
    if (::fcntl(file.get(), F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) !=
            0 ||
        ::lseek(file.get(), 0, SEEK_SET) != 0) {
        return fail_errno(Code::system, errno, "cannot seal a memory file");
    }
    return file;
}

Result<std::pair<UniqueFd, UniqueFd>> packet_pair() {
    int ends[2] = {-1, -1};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        return fail_errno(Code::system, errno, "cannot make a socket pair");
    }
    return std::pair(UniqueFd(ends[0]), UniqueFd(ends[1]));
}

Result<void> send_packet(int socket, std::string_view body, std::span<const int> fds) {
    if (fds.size() > max_fds) {
        return fail(Code::internal, "too many descriptors in one message");
    }
    iovec part{const_cast<char*>(body.data()), body.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(max_fds * sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (!fds.empty()) {
        message.msg_control = control.data();
        message.msg_controllen = CMSG_SPACE(fds.size_bytes());
        cmsghdr* header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(fds.size_bytes());
        std::memcpy(CMSG_DATA(header), fds.data(), fds.size_bytes());
    }
    if (retry([&] { return ::sendmsg(socket, &message, MSG_NOSIGNAL); }) < 0) {
        return fail_errno(Code::system, errno, "cannot send a message");
    }
    return {};
}

namespace {

/// Nothing was received: the other side has closed, or has sent a packet without a byte.
bool has_hung_up(int socket) noexcept {
    pollfd look{socket, 0, 0};
    return ::poll(&look, 1, 0) > 0 && (look.revents & (POLLHUP | POLLERR | POLLNVAL)) != 0;
}

} // namespace

Result<Packet> recv_packet(int socket, std::size_t max_body, int timeout_ms) {
    TRY(wait_readable(socket, timeout_ms));
    Packet packet;
    packet.body.resize(max_body);
    iovec part{packet.body.data(), packet.body.size()};
    alignas(cmsghdr)
        std::array<char, CMSG_SPACE(max_fds * sizeof(int)) + CMSG_SPACE(sizeof(ucred))> control{};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t got = retry([&] { return ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC); });
    if (got < 0) {
        return fail_errno(Code::system, errno, "cannot receive a message");
    }
    take_control(message, packet);
    if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
        return fail(Code::limit_exceeded, fmt::format("a message is longer than {} bytes", max_body));
    }
    packet.body.resize(static_cast<std::size_t>(got));
    packet.end_of_stream = got == 0 && has_hung_up(socket);
    return packet;
}

} // namespace slipway::base
