// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/log.hpp"
#include "base/result.hpp"
#include "cli/options.hpp"

#include <string_view>

/// What people read on stderr. Every line begins with "slipway: ", so that it differs from the
/// command's own output.
namespace slipway::cli {

/// Least level that is shown, from the global options: info; --quiet: warning; --silent: error;
/// --verbose and --debug: debug.
base::LogLevel level_from(const Arguments& arguments);

/// Sends base::log() to stderr from now on.
void start_messages(base::LogLevel least);

/// "slipway: error: code: message (hint: …)"; nothing for an error without a message, of which another
/// program has told.
void print_error(const base::Error& error);

/// Writes to stdout; 0, the exit code of the program, or an error: a full disk must not look like success.
base::Result<int> printed(std::string_view text);

/// Asks on stderr when stdin is a terminal: whether the answer begins with y. Without a terminal
/// nothing is asked and the answer is no.
[[nodiscard]] bool confirmed(std::string_view question);

} // namespace slipway::cli
