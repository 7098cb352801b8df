// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>

namespace slipway::prefetch::convert {

/// Hands items from one thread to another, at most `capacity` at a time.
template <typename T> class BoundedQueue {
  public:
    explicit BoundedQueue(std::size_t capacity) : capacity_(capacity) {}

    /// Waits for room; false when the queue was closed (the item is dropped).
    bool push(T item) {
        std::unique_lock lock(mutex_);
        room_.wait(lock, [&] { return closed_ || items_.size() < capacity_; });
        if (closed_) {
            return false;
        }
        items_.push_back(std::move(item));
        lock.unlock();
        ready_.notify_one();
        return true;
    }

    /// Waits for an item; nothing when the producer has ended and all is taken, or it was closed.
    std::optional<T> pop() {
        std::unique_lock lock(mutex_);
        ready_.wait(lock, [&] { return closed_ || ended_ || !items_.empty(); });
        if (closed_ || items_.empty()) {
            return std::nullopt;
        }
        T item = std::move(items_.front());
        items_.pop_front();
        lock.unlock();
        room_.notify_one();
        return item;
    }

    /// No more items will come; those inside can still be taken.
    void end() {
        const std::lock_guard lock(mutex_);
        ended_ = true;
        ready_.notify_all();
    }

    /// Stops both sides and drops what is inside.
    void close() {
        std::deque<T> dropped;
        const std::lock_guard lock(mutex_);
        closed_ = true;
        dropped.swap(items_);
        ready_.notify_all();
        room_.notify_all();
    }

  private:
    const std::size_t capacity_;
    std::mutex mutex_;
    std::condition_variable ready_;
    std::condition_variable room_;
    std::deque<T> items_;
    bool ended_ = false;
    bool closed_ = false;
};

} // namespace slipway::prefetch::convert
