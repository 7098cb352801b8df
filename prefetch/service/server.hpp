// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "prefetch/service/job_table.hpp"
#include "prefetch/service/session.hpp"
#include "store/store.hpp"

#include <memory>
#include <string>
#include <utility>

#include <boost/asio/io_context.hpp>

namespace slipway::prefetch::service {

struct ServerOptions {
    std::string socket_path = "/run/slipway/slipwayd.sock";
    TableLimits table;
    SessionLimits session;
    std::size_t max_connections = 16000; ///< more are answered Code::service_busy and closed
    /// One user (root apart) may hold as many times what is still free for others: three of four
    /// connections when alone, and however many users take all they can, one more gets in.
    std::size_t share_of_free = 3;
    std::chrono::seconds drain{20}; ///< how long a stopping service waits for its workers
};

/// The service without its process: listens, shares work, stops. run() blocks until stop() (from
/// any thread or a signal handler of the io_context) and returns when every worker has ended.
/// What fails with an exception (memory or threads that cannot be had) ends one request or one piece
/// of work, never the service.
class Server {
  public:
    Server(ServerOptions options, store::Store store, stage::StageFunction stage);
    ~Server();
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    /// Binds the socket. Nobody but root and this process's user may be able to write to its directory
    /// or to one above it (Code::config_insecure). A dead socket file is replaced, a live one is
    /// Code::service_busy. `inherited_fd` >= 0: a listening socket from systemd instead.
    base::Result<void> listen(int inherited_fd = -1);
    /// `started` is called on the control thread once requests are answered; `every_second` keeps a
    /// watchdog fed.
    void run(const std::function<void()>& started, const std::function<void()>& every_second);
    void stop();

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

} // namespace slipway::prefetch::service
