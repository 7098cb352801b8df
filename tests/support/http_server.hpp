// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/fd.hpp"

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace slipway::test {

/// A request as a server sees it. Header names are lower case.
struct ServerRequest {
    std::string method;
    std::string target;
    std::map<std::string, std::string> headers;
    std::string body;
    [[nodiscard]] std::string header(const std::string& name) const;
};

/// The connection on which the answer goes out. Handlers may send anything, also nonsense; the
/// connection is closed when the handler returns false, or the peer is gone.
class Connection {
  public:
    explicit Connection(int fd) : fd_(fd) {}
    bool send(std::string_view bytes); ///< false when the peer is gone
    /// Status line, Content-Length, the given header lines ("Name: value\r\n" each) and the body.
    bool reply(int status, std::string_view body, std::string_view header_lines = {});

  private:
    int fd_;
};

/// An HTTP/1.1 server on 127.0.0.1 inside the test program; a thread for each connection.
class HttpServer {
  public:
    using Handler = std::function<bool(const ServerRequest&, Connection&)>;
    explicit HttpServer(Handler handler);
    HttpServer(const HttpServer&) = delete;
    HttpServer& operator=(const HttpServer&) = delete;
    ~HttpServer();

    [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
    [[nodiscard]] std::string url(std::string_view target) const;
    /// Requests so far, in order.
    [[nodiscard]] std::vector<ServerRequest> requests() const;

  private:
    void accept_loop();
    void serve(int fd);

    Handler handler_;
    base::UniqueFd listener_;
    std::uint16_t port_ = 0;
    mutable std::mutex mutex_;
    std::vector<ServerRequest> requests_;
    std::vector<int> open_fds_;
    std::vector<std::thread> workers_;
    std::atomic<bool> stopping_{false};
    std::thread acceptor_;
};

} // namespace slipway::test
