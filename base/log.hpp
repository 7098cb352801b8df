// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/enum_table.hpp"

#include <array>
#include <string_view>

namespace slipway::base {

enum class LogLevel { debug, info, warning, error };
inline constexpr EnumTable log_levels =
    std::array{EnumRow{LogLevel::debug, "debug"}, EnumRow{LogLevel::info, "info"},
               EnumRow{LogLevel::warning, "warning"}, EnumRow{LogLevel::error, "error"}};

/// Where messages go. The service installs its logger, the command line and the launcher stderr,
/// the plugin slurm_*; the default drops everything. Set once in main(), before any thread starts.
using LogSink = void (*)(LogLevel level, std::string_view message);
void set_log_sink(LogSink sink) noexcept;

/// One message without a newline; log once, where the cause is known first.
void log(LogLevel level, std::string_view message);

} // namespace slipway::base
