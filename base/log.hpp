// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace slipway::base {

enum class LogLevel { debug, info, warning, error };

/// Where messages go. The service installs its logger, the command line and the launcher stderr,
/// the plugin slurm_*; the default drops everything. Set once in main(), before any thread starts.
using LogSink = void (*)(LogLevel level, std::string_view message);
void set_log_sink(LogSink sink) noexcept;

/// One message without a newline; log once, where the cause is known first.
void log(LogLevel level, std::string_view message);

std::string_view level_name(LogLevel level) noexcept;

} // namespace slipway::base
