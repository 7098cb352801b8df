// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "prefetch/service/api.hpp"

#include <memory>
#include <utility>

#include <boost/asio/local/stream_protocol.hpp>

namespace slipway::prefetch::service {

struct SessionLimits {
    std::size_t header_bytes = 8U << 10U;
    std::size_t body_bytes = 16U << 10U;
    std::size_t unsent_bytes = 256U << 10U; ///< a listener that does not read is dropped
    std::chrono::seconds request_timeout{10}; ///< for a whole request to arrive, or the next one
    std::chrono::seconds write_timeout{30};
};

/// Serves one connection on the control thread until it ends; `gone` is called once then.
void start_session(boost::asio::local::stream_protocol::socket socket, Peer peer,
                   const SessionLimits& limits, Api& api, JobTable& table,
                   std::function<void()> gone);

} // namespace slipway::prefetch::service
