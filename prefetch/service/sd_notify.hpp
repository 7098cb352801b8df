// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <optional>
#include <string_view>

namespace slipway::prefetch::service {

/// Reports the state to systemd ("READY=1", "WATCHDOG=1", "STOPPING=1"): one datagram to
/// $NOTIFY_SOCKET, nothing when that is not set. Source: sd_notify(3).
void sd_notify(std::string_view state) noexcept;

/// Half of $WATCHDOG_USEC when it is meant for this process: how often to send WATCHDOG=1.
std::optional<std::chrono::microseconds> watchdog_interval() noexcept;

/// The first socket that systemd has opened for this process (LISTEN_PID, LISTEN_FDS), else -1.
int inherited_socket() noexcept;

} // namespace slipway::prefetch::service
