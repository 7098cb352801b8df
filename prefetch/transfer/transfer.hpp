// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "prefetch/transfer/client.hpp"

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>

namespace slipway::prefetch::transfer {

/// State of one exchange, shared by its reader and the client's thread. Internal to transfer/.
/// Everything below `mutex` is guarded by it.
struct Transfer {
    explicit Transfer(HttpRequest what) : request(std::move(what)) {}

    HttpRequest request; ///< constant once the engine has it

    std::mutex mutex;
    std::condition_variable_any changed;
    HttpHead head;
    bool have_head = false;
    bool paused = false;   ///< the engine waits for room in the queue
    bool finished = false; ///< nothing more will come
    bool failed = false;
    ExchangeFailure failure;
    std::deque<std::string> chunks;
    std::size_t first_offset = 0; ///< bytes of chunks.front() that are already read
    std::size_t queued = 0;

    /// Moves queued bytes to the reader. Call with the mutex held.
    std::size_t take(std::span<std::uint8_t> out) {
        std::size_t done = 0;
        while (done < out.size() && !chunks.empty()) {
            const std::string& chunk = chunks.front();
            const auto count = std::min(out.size() - done, chunk.size() - first_offset);
            std::memcpy(out.data() + done, chunk.data() + first_offset, count);
            done += count;
            first_offset += count;
            if (first_offset == chunk.size()) {
                chunks.pop_front();
                first_offset = 0;
            }
        }
        queued -= done;
        return done;
    }

    /// Takes bytes from the network. Call with the mutex held. Small pieces share one string, or
    /// a server that sends single bytes would cost a node of the queue for each.
    void put(std::string_view bytes) {
        constexpr std::size_t piece = 64 * 1024;
        if (!chunks.empty() && chunks.back().size() + bytes.size() <= piece) {
            chunks.back() += bytes;
        } else {
            chunks.emplace_back(bytes);
            if (bytes.size() < piece) {
                chunks.back().reserve(piece);
            }
        }
        queued += bytes.size();
    }
};

} // namespace slipway::prefetch::transfer
