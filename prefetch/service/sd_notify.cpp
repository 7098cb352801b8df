// SPDX-License-Identifier: Apache-2.0
#include "prefetch/service/sd_notify.hpp"

#include "base/fd.hpp"
#include "base/text.hpp"

#include <cstddef>
#include <cstdlib>
#include <cstring>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace slipway::prefetch::service {
namespace {

std::optional<std::uint64_t> environment_number(const char* name) noexcept {
    const char* text = std::getenv(name);
    if (text == nullptr) {
        return std::nullopt;
    }
    const auto number = base::parse_u64(text);
    return number ? std::optional(*number) : std::nullopt;
}

} // namespace

void sd_notify(std::string_view state) noexcept {
    const char* path = std::getenv("NOTIFY_SOCKET");
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path == nullptr || (path[0] != '/' && path[0] != '@') ||
        std::strlen(path) >= sizeof address.sun_path) {
        return;
    }
    std::memcpy(address.sun_path, path, std::strlen(path));
    if (address.sun_path[0] == '@') { // an abstract name begins with a NUL byte
        address.sun_path[0] = '\0';
    }
    const base::UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const auto length =
        static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + std::strlen(path));
    if (socket) {
        (void)!::sendto(socket.get(), state.data(), state.size(), MSG_NOSIGNAL,
                        reinterpret_cast<const sockaddr*>(&address), length);
    }
}

std::optional<std::chrono::microseconds> watchdog_interval() noexcept {
    const auto micros = environment_number("WATCHDOG_USEC");
    const auto pid = environment_number("WATCHDOG_PID");
    if (!micros || (pid && *pid != static_cast<std::uint64_t>(::getpid()))) {
        return std::nullopt;
    }
    return std::chrono::microseconds(*micros / 2);
}

int inherited_socket() noexcept {
    const auto pid = environment_number("LISTEN_PID");
    const auto count = environment_number("LISTEN_FDS");
    constexpr int first = 3; // SD_LISTEN_FDS_START
    if (!pid || *pid != static_cast<std::uint64_t>(::getpid()) || !count || *count == 0) {
        return -1;
    }
    return ::fcntl(first, F_SETFD, FD_CLOEXEC) == 0 ? first : -1;
}

} // namespace slipway::prefetch::service
