// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "prefetch/transfer/client.hpp"

#include <memory>

namespace slipway::prefetch::transfer {

struct Transfer;

/// The thread that owns libcurl's multi handle; internal to transfer/. add(), cancel() and
/// unpause() only queue a command and wake the thread, and may be called from
/// its own callbacks.
class CurlEngine {
  public:
    static base::Result<std::unique_ptr<CurlEngine>> start(HttpClient::Options options);
    CurlEngine(const CurlEngine&) = delete;
    CurlEngine& operator=(const CurlEngine&) = delete;
    ~CurlEngine();

    void add(const std::shared_ptr<Transfer>& transfer);
    void cancel(const std::shared_ptr<Transfer>& transfer) noexcept; ///< waits where memory is short
    void unpause(const std::shared_ptr<Transfer>& transfer);
    /// Ends the thread and fails what is still open. Later calls of add() fail the transfer at once.
    void shut_down() noexcept;

    struct State;

  private:
    explicit CurlEngine(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

} // namespace slipway::prefetch::transfer
