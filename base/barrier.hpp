// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.hpp"

#include <exception>

namespace slipway::base {

/// Runs `body` in a place that no exception may leave: the function of a thread, a callback of a C
/// library. False when it threw, which for our own code means that there was no memory: whoever
/// calls lets that one request fail, and nobody else's.
template <typename Body> [[nodiscard]] bool completes(Body&& body) noexcept {
    try {
        body();
        return true;
    } catch (...) {
        return false;
    }
}

/// What an exception of the standard library means to a user. We throw none ourselves: left are
/// memory and threads that the system refuses.
[[nodiscard]] Error error_of(const std::exception& thrown);

} // namespace slipway::base
