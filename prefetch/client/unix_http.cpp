// SPDX-License-Identifier: Apache-2.0
#include "prefetch/client/unix_http.hpp"

#include "base/format.hpp"
#include "base/text.hpp"
#include "base/words.hpp"
#include "prefetch/stage/api_version.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

namespace slipway::prefetch::client {
namespace {

constexpr std::size_t max_head = 16U << 10U;
constexpr std::size_t max_body = 1U << 20U;
constexpr std::size_t max_chunk = 256U << 10U;

base::Unexpected broken(int err) {
    return base::fail_errno(base::Code::service_unreachable, err,
                            "the connection to the service broke");
}

base::Unexpected silent(int timeout_ms) {
    return base::fail(base::Code::timed_out,
                      fmt::format("the service was silent for {} s", timeout_ms / 1000),
                      "try again; if it stays so, ask your site to look at slipwayd");
}

base::Unexpected strange(std::string_view what) {
    return base::fail(base::Code::service_protocol,
                      "the service's answer makes no sense: " + std::string(what),
                      "is it slipwayd that listens there, and of this version?");
}

/// Value of a header in a response head, "" when it is missing.
std::string_view header(std::string_view head, std::string_view name) {
    for (auto line : base::split(head, '\n')) {
        if (line.size() > name.size() && line[name.size()] == ':' &&
            base::equal_ignoring_case(line.substr(0, name.size()), name)) {
            line.remove_prefix(name.size() + 1);
            return base::trim(line.substr(0, line.find('\r')));
        }
    }
    return {};
}

base::Result<std::size_t> parse_hex(std::string_view text) {
    std::size_t value = 0;
    if (text.empty() || text.size() > 8) {
        return strange("a chunk without a size");
    }
    for (const char c : text) {
        const int digit = base::hex_value(c);
        if (digit < 0) {
            return strange("a chunk without a size");
        }
        value = value * 16 + static_cast<std::size_t>(digit);
    }
    return value;
}

} // namespace

base::Result<UnixHttp> UnixHttp::connect(const std::string& path, int timeout_ms) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) {
        return base::fail(base::Code::config_invalid,
                          "the socket path " + base::in_quotes(path) + " is too long");
    }
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    base::UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    // A service that takes no connections must not hold a job up for ever.
    const timeval limit{timeout_ms / 1000, (timeout_ms % 1000) * 1000};
    if (socket) {
        ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    }
    int result = -1;
    do {
        result = socket ? ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address),
                                    sizeof address)
                        : -1;
    } while (result != 0 && errno == EINTR);
    if (result != 0 && errno == EAGAIN) {
        return silent(timeout_ms);
    }
    if (result != 0) {
        return base::fail_errno(base::Code::service_unreachable, errno,
                                "cannot reach the service at " + base::in_quotes(path),
                                errno == EACCES ? "you may not use this socket: ask your site"
                                                : "is slipwayd running? `systemctl status slipwayd`");
    }
    return UnixHttp(std::move(socket));
}

base::Result<uid_t> UnixHttp::server_uid() const {
    ucred credentials{};
    socklen_t size = sizeof credentials;
    if (::getsockopt(socket_.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
        return base::fail_errno(base::Code::system, errno, "cannot find out who the service is");
    }
    return credentials.uid;
}

base::Result<void> UnixHttp::fill(int timeout_ms) {
    pollfd waiting{socket_.get(), POLLIN, 0};
    int ready = -1;
    do {
        ready = ::poll(&waiting, 1, timeout_ms);
    } while (ready < 0 && errno == EINTR);
    if (ready == 0) {
        return silent(timeout_ms);
    }
    std::array<char, 16384> chunk{};
    const ssize_t got = ready < 0 ? -1 : ::recv(socket_.get(), chunk.data(), chunk.size(), 0);
    if (got <= 0) {
        return broken(got == 0 ? ECONNRESET : errno);
    }
    buffered_.append(chunk.data(), static_cast<std::size_t>(got));
    return {};
}

base::Result<std::string> UnixHttp::read_until(std::string_view end, std::size_t max,
                                               int timeout_ms) {
    for (;;) {
        const auto at = buffered_.find(end);
        if (at != std::string::npos) {
            auto text = buffered_.substr(0, at);
            buffered_.erase(0, at + end.size());
            return text;
        }
        if (buffered_.size() > max) {
            return strange("a line that does not end");
        }
        TRY(fill(timeout_ms));
    }
}

base::Result<std::string> UnixHttp::read_count(std::size_t count, int timeout_ms) {
    while (buffered_.size() < count) {
        TRY(fill(timeout_ms));
    }
    auto text = buffered_.substr(0, count);
    buffered_.erase(0, count);
    return text;
}

base::Result<void> UnixHttp::read_chunked(std::string& body, int timeout_ms,
                                          const std::function<bool(std::string_view)>& on_line) {
    for (;;) {
        TRY_ASSIGN(const auto size_line, read_until("\r\n", 64, timeout_ms));
        TRY_ASSIGN(const auto size, parse_hex(size_line));
        if (size > max_chunk || body.size() + size > max_body) {
            return strange("more than anybody asked for");
        }
        TRY_ASSIGN(const auto chunk, read_count(size, timeout_ms));
        TRY(read_until("\r\n", 64, timeout_ms));
        if (size == 0) {
            return {};
        }
        body += chunk;
        for (auto end = body.find('\n'); on_line && end != std::string::npos; end = body.find('\n')) {
            const auto line = body.substr(0, end);
            body.erase(0, end + 1);
            if (!on_line(line)) {
                return {};
            }
        }
    }
}

base::Result<UnixHttp::Response>
UnixHttp::exchange(std::string_view method, std::string_view target, std::string_view body,
                   int timeout_ms, const std::function<bool(std::string_view)>& on_line) {
    auto message = fmt::format("{} {} HTTP/1.1\r\nHost: slipwayd\r\nSlipway-Api: {}\r\n"
                               "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{}",
                               method, target, stage::api_version, body.size(), body);
    for (std::string_view rest = message; !rest.empty();) {
        const ssize_t put = ::send(socket_.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
        if (put < 0 && errno == EAGAIN) {
            return silent(timeout_ms);
        }
        if (put < 0 && errno != EINTR) {
            return broken(errno);
        }
        rest.remove_prefix(put < 0 ? 0 : static_cast<std::size_t>(put));
    }
    TRY_ASSIGN(const auto head, read_until("\r\n\r\n", max_head, timeout_ms));
    Response response;
    if (!head.starts_with("HTTP/1.1 ") || head.size() < 12) {
        return strange("it is not HTTP");
    }
    const auto status = base::parse_u64(std::string_view(head).substr(9, 3), 999);
    if (!status) {
        return strange("it is not HTTP");
    }
    response.status = static_cast<unsigned>(*status);
    response.api = std::string(header(head, "Slipway-Api"));
    if (header(head, "Transfer-Encoding") == "chunked") {
        TRY(read_chunked(response.body, timeout_ms, on_line));
        return response;
    }
    const auto length = base::parse_u64(header(head, "Content-Length"), max_body);
    if (!length) {
        return strange("it has no sensible length");
    }
    TRY_ASSIGN(response.body, read_count(*length, timeout_ms));
    return response;
}

} // namespace slipway::prefetch::client
