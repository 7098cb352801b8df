// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/fd.hpp"

#include <functional>
#include <string>
#include <string_view>

namespace slipway::prefetch::client {

/// A blocking HTTP/1.1 exchange on a Unix socket, for clients that must start in a millisecond.
/// Only what slipwayd speaks: Content-Length and chunked bodies, one request after the other.
class UnixHttp {
  public:
    /// Code::service_unreachable; sys_errno tells a missing socket (ENOENT), a service that is down
    /// (ECONNREFUSED) and a socket that this user may not use (EACCES) apart. Code::timed_out when
    /// nobody takes the connection for timeout_ms, which also bounds every send.
    static base::Result<UnixHttp> connect(const std::string& path, int timeout_ms);

    /// Who listens there, as the kernel says.
    [[nodiscard]] base::Result<uid_t> server_uid() const;

    struct Response {
        unsigned status = 0;
        std::string api; ///< header Slipway-Api
        std::string body;
    };
    /// Sends one request. The body of the answer is collected (at most 1 MiB), or, when `on_line` is
    /// given, handed out line by line as it arrives until on_line returns false or the body ends.
    /// Silence for timeout_ms is Code::timed_out; a connection that breaks is
    /// Code::service_unreachable with ECONNRESET.
    base::Result<Response> exchange(std::string_view method, std::string_view target,
                                    std::string_view body, int timeout_ms,
                                    const std::function<bool(std::string_view)>& on_line = {});

  private:
    explicit UnixHttp(base::UniqueFd socket) : socket_(std::move(socket)) {}
    base::Result<std::string> read_until(std::string_view end, std::size_t max, int timeout_ms);
    base::Result<std::string> read_count(std::size_t count, int timeout_ms);
    base::Result<void> fill(int timeout_ms);
    base::Result<void> read_chunked(std::string& body, int timeout_ms,
                                    const std::function<bool(std::string_view)>& on_line);

    base::UniqueFd socket_;
    std::string buffered_;
};

} // namespace slipway::prefetch::client
