// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sys/types.h>

namespace slipway::base {

/// Owns a file descriptor and closes it. Errors of close(2) are lost here: code that wrote data
/// calls close() and looks at the result.
class UniqueFd {
  public:
    UniqueFd() noexcept = default;
    explicit UniqueFd(int fd) noexcept : fd_(fd) {}
    UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    UniqueFd& operator=(UniqueFd&& other) noexcept {
        if (this != &other) {
            reset(std::exchange(other.fd_, -1));
        }
        return *this;
    }
    UniqueFd(const UniqueFd&) = delete;
    UniqueFd& operator=(const UniqueFd&) = delete;
    ~UniqueFd() { reset(); }

    [[nodiscard]] int get() const noexcept { return fd_; }
    [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }
    explicit operator bool() const noexcept { return fd_ >= 0; }
    void reset(int fd = -1) noexcept;
    /// Closes and reports what close(2) said; the descriptor is gone either way.
    Result<void> close();

  private:
    int fd_ = -1;
};

/// open(2)/openat(2) with O_CLOEXEC, retried on EINTR. The error's code is Code::io and its message
/// names the path.
Result<UniqueFd> open_file(const std::string& path, int flags, mode_t mode = 0);
Result<UniqueFd> open_at(int dir_fd, const std::string& path, int flags, mode_t mode = 0);

/// Makes an NFS client forget what it remembers of a directory, names that were not there above all
/// (for up to a minute): opening it asks the server.
void ask_server_about(const std::string& directory) noexcept;

/// openat2(2): `resolve` is a set of RESOLVE_* flags of <linux/openat2.h>.
Result<UniqueFd> open_resolved(int dir_fd, const std::string& path, std::uint64_t flags,
                               std::uint64_t resolve, mode_t mode = 0);

Result<UniqueFd> duplicate(int fd); ///< F_DUPFD_CLOEXEC

/// Exactly `buffer.size()` bytes at `offset`; end of file before that is Code::image_corrupt-free
/// Code::io with the message "unexpected end of file".
Result<void> read_exact_at(int fd, std::span<std::uint8_t> buffer, std::uint64_t offset);

/// All of `data`, retried on EINTR and short writes.
Result<void> write_all(int fd, std::string_view data);
Result<void> write_all_at(int fd, std::span<const std::uint8_t> data, std::uint64_t offset);

/// Everything up to end of file, at most `max` bytes (more is Code::limit_exceeded).
Result<std::string> read_to_end(int fd, std::size_t max);
Result<std::string> read_file(const std::string& path, std::size_t max);

/// An anonymous file holding `content`, sealed against every change, position 0.
Result<UniqueFd> sealed_memfd(const char* name, std::string_view content);

/// A connected SOCK_SEQPACKET pair, both ends close-on-exec.
Result<std::pair<UniqueFd, UniqueFd>> packet_pair();

/// What recv_packet() got. `pid` is the sender's, checked by the kernel, when the receiving end has
/// SO_PASSCRED; else -1.
struct Packet {
    std::string body;
    std::vector<UniqueFd> fds;
    pid_t pid = -1;
    bool end_of_stream = false; ///< the other side has closed
};

/// One packet with descriptors (SCM_RIGHTS). Retried on EINTR, never raises SIGPIPE.
Result<void> send_packet(int socket, std::string_view body, std::span<const int> fds = {});

/// One packet of at most `max_body` bytes and 16 descriptors; a longer one is Code::limit_exceeded.
/// timeout_ms < 0 waits for ever; a time-out is Code::timed_out. Retried on EINTR.
Result<Packet> recv_packet(int socket, std::size_t max_body, int timeout_ms = -1);

} // namespace slipway::base
