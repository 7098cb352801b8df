// SPDX-License-Identifier: Apache-2.0
#include "cli/messages.hpp"

#include "base/fd.hpp"
#include "base/format.hpp"
#include "base/text.hpp"
#include "base/words.hpp"

#include <array>

#include <unistd.h>

namespace slipway::cli {
namespace {

base::LogLevel least = base::LogLevel::info;

/// One write(2) per line: lines of several processes do not mix.
void write_line(const std::string& line) {
    // Nothing can be done about a stderr that is closed.
    static_cast<void>(base::write_all(STDERR_FILENO, line));
}

void to_stderr(base::LogLevel level, std::string_view message) {
    if (level < least) {
        return;
    }
    const auto text = base::printable(message);
    if (level == base::LogLevel::info) {
        write_line(fmt::format("slipway: {}\n", text));
    } else {
        write_line(fmt::format("slipway: {}: {}\n", base::log_levels.name(level), text));
    }
}

} // namespace

base::LogLevel level_from(const Arguments& arguments) {
    if (arguments.flag("debug") || arguments.flag("verbose")) {
        return base::LogLevel::debug;
    }
    if (arguments.flag("silent")) {
        return base::LogLevel::error;
    }
    return arguments.flag("quiet") ? base::LogLevel::warning : base::LogLevel::info;
}

void start_messages(base::LogLevel level) {
    least = level;
    base::set_log_sink(to_stderr);
}

void print_error(const base::Error& error) {
    if (!error.message.empty()) {
        write_line(fmt::format("slipway: error: {}\n", error.one_line()));
    }
}

base::Result<int> printed(std::string_view text) {
    auto written = base::write_all(STDOUT_FILENO, text);
    if (!written) {
        return base::Unexpected(std::move(written).error().context("cannot write the output"));
    }
    return 0;
}

bool confirmed(std::string_view question) {
    if (::isatty(STDIN_FILENO) != 1) {
        return false;
    }
    write_line(fmt::format("{} ", base::printable(question)));
    std::array<char, 16> answer{};
    const ssize_t got = ::read(STDIN_FILENO, answer.data(), answer.size());
    return got > 0 && base::to_lower(answer[0]) == 'y';
}

} // namespace slipway::cli
