// SPDX-License-Identifier: Apache-2.0
#include "prefetch/convert/window_gate.hpp"

namespace slipway::prefetch::convert {

bool WindowGate::enter(std::size_t order) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return cancelled_ || order == turn_ || ahead_ == nobody; });
    if (!cancelled_ && order != turn_) {
        ahead_ = order;
    }
    return !cancelled_;
}

void WindowGate::leave(std::size_t order) noexcept {
    {
        const std::lock_guard lock(mutex_);
        if (ahead_ == order) {
            ahead_ = nobody;
        }
    }
    changed_.notify_all();
}

void WindowGate::turn_of(std::size_t order) noexcept {
    {
        const std::lock_guard lock(mutex_);
        turn_ = order;
    }
    changed_.notify_all();
}

void WindowGate::cancel() noexcept {
    {
        const std::lock_guard lock(mutex_);
        cancelled_ = true;
    }
    changed_.notify_all();
}

} // namespace slipway::prefetch::convert
