// SPDX-License-Identifier: Apache-2.0
#include "tests/support/http_server.hpp"

#include "base/format.hpp"
#include "base/text.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <stdexcept>

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace slipway::test {
namespace {

/// Reads up to the blank line, then as many body bytes as announced; false at end of stream.
bool read_request(int fd, std::string& pending, ServerRequest& request) {
    const auto fill = [&] {
        std::array<char, 8192> buffer{};
        const auto got = ::recv(fd, buffer.data(), buffer.size(), 0);
        if (got > 0) {
            pending.append(buffer.data(), static_cast<std::size_t>(got));
        }
        return got > 0;
    };
    std::size_t end = 0;
    while ((end = pending.find("\r\n\r\n")) == std::string::npos) {
        if (!fill()) {
            return false;
        }
    }
    const std::string head = pending.substr(0, end);
    pending.erase(0, end + 4);
    bool first = true;
    for (auto line : base::split(head, '\n')) {
        line = line.substr(0, line.find('\r'));
        if (first) {
            const auto words = base::split(line, ' ');
            request.method = std::string(words.at(0));
            request.target = std::string(words.at(1));
            first = false;
        } else if (const auto colon = line.find(':'); colon != std::string_view::npos) {
            std::string name(line.substr(0, colon));
            std::transform(name.begin(), name.end(), name.begin(),
                           [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
            request.headers[name] = std::string(base::trim(line.substr(colon + 1)));
        }
    }
    const auto length = base::parse_u64(request.header("content-length"));
    while (length && pending.size() < *length) {
        if (!fill()) {
            return false;
        }
    }
    if (length) {
        request.body = pending.substr(0, *length);
        pending.erase(0, *length);
    }
    return true;
}

} // namespace

std::string ServerRequest::header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? std::string() : found->second;
}

bool Connection::send(std::string_view bytes) {
    while (!bytes.empty()) {
        const auto sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (sent <= 0) {
            return false;
        }
        bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
}

bool Connection::reply(int status, std::string_view body, std::string_view header_lines) {
    return send(fmt::format("HTTP/1.1 {} Status\r\nContent-Length: {}\r\n{}\r\n", status, body.size(),
                            header_lines)) &&
           send(body);
}

HttpServer::HttpServer(Handler handler) : handler_(std::move(handler)) {
    listener_ = base::UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    if (::bind(listener_.get(), generic, length) != 0 || ::listen(listener_.get(), 64) != 0 ||
        ::getsockname(listener_.get(), generic, &length) != 0) {
        throw std::runtime_error("cannot listen on loopback");
    }
    port_ = ntohs(address.sin_port);
    acceptor_ = std::thread([this] { accept_loop(); });
}

HttpServer::~HttpServer() {
    stopping_ = true;
    ::shutdown(listener_.get(), SHUT_RDWR);
    acceptor_.join();
    {
        const std::lock_guard lock(mutex_);
        for (const int fd : open_fds_) {
            ::shutdown(fd, SHUT_RDWR);
        }
    }
    for (auto& worker : workers_) {
        worker.join();
    }
}

std::string HttpServer::url(std::string_view target) const {
    return fmt::format("http://127.0.0.1:{}{}", port_, target);
}

std::vector<ServerRequest> HttpServer::requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
}

void HttpServer::accept_loop() {
    for (;;) {
        const int fd = ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC);
        if (fd < 0 || stopping_) {
            if (fd >= 0) {
                ::close(fd);
            }
            return;
        }
        const std::lock_guard lock(mutex_);
        open_fds_.push_back(fd);
        workers_.emplace_back([this, fd] { serve(fd); });
    }
}

void HttpServer::serve(int fd) {
    std::string pending;
    for (;;) {
        ServerRequest request;
        if (!read_request(fd, pending, request)) {
            break;
        }
        {
            const std::lock_guard lock(mutex_);
            requests_.push_back(request);
        }
        Connection connection(fd);
        if (!handler_(request, connection)) {
            break;
        }
    }
    const std::lock_guard lock(mutex_);
    open_fds_.erase(std::find(open_fds_.begin(), open_fds_.end(), fd));
    ::close(fd);
}

} // namespace slipway::test
