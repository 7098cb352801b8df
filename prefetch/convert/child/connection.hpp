// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/fd.hpp"
#include "prefetch/convert/protocol.hpp"

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

namespace slipway::prefetch::convert {

/// The child's end of the control socket: asks for layers, reports progress, says the last word.
/// One thread listens to the parent; when the parent is gone the process ends at once. One object
/// for the life of the process.
class Connection {
  public:
    /// Takes over the socket.
    explicit Connection(int socket);
    /// Starts listening. Throws where the system allows no thread; send() works without.
    void start();
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    /// Asks for a layer from its first byte and waits for the answer. From any thread.
    base::Result<std::unique_ptr<base::ByteSource>> open(std::uint32_t layer);

    /// From any thread. Nothing to be done when it cannot be sent: the parent is gone.
    void send(const FromChild& message) noexcept;

    /// For an allocation that failed: says so and ends the process, without allocating.
    [[noreturn]] static void out_of_memory() noexcept;

  private:
    class Blob;
    class FileBlob;
    class PipeBlob;

    void listen() noexcept;
    void receive();
    FromParent answer(std::uint32_t serial, base::UniqueFd* descriptor);
    base::Result<void> wait_for_end(std::uint32_t serial);

    struct Answer {
        FromParent message;
        base::UniqueFd descriptor;
    };
    const int socket_;
    std::mutex mutex_;
    std::condition_variable came_;
    std::uint32_t next_serial_ = 0;                          ///< guarded
    std::multimap<std::uint32_t, Answer> answers_;           ///< guarded; not fetched yet
};

/// Adds up what was read and reports it to the parent now and then.
class ProgressReporter : public ProgressSink {
  public:
    ProgressReporter(Connection& connection, std::size_t layers)
        : connection_(connection), unsent_(layers) {}
    void layer_bytes(std::size_t layer, std::uint64_t bytes) noexcept override;
    void phase(ConvertPhase phase) noexcept override;

  private:
    void flush(std::size_t layer) noexcept;
    Connection& connection_;
    std::vector<std::atomic<std::uint64_t>> unsent_;
};

} // namespace slipway::prefetch::convert
