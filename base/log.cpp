// SPDX-License-Identifier: Apache-2.0
#include "base/log.hpp"

namespace slipway::base {
namespace {
LogSink current_sink = nullptr;
}

void set_log_sink(LogSink sink) noexcept {
    current_sink = sink;
}

void log(LogLevel level, std::string_view message) {
    if (current_sink != nullptr) {
        current_sink(level, message);
    }
}

} // namespace slipway::base
