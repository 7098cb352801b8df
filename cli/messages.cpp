// SPDX-License-Identifier: Apache-2.0
#include "cli/messages.hpp"

#include "base/fd.hpp"
#include "base/format.hpp"
#include "base/text.hpp"
#include "base/utf8.hpp"

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
        write_line(fmt::format("slipway: {}: {}\n", base::level_name(level), text));
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
    write_line(fmt::format("slipway: error: {}\n", error.one_line()));
}

bool print(std::string_view text) {
    const auto written = base::write_all(STDOUT_FILENO, text);
    if (!written) {
        print_error(base::Error(written.error()).context("cannot write the output"));
    }
    return written.has_value();
}

std::string json_string(std::string_view text) {
    std::string out = "\"";
    while (!text.empty()) {
        const auto length = base::utf8_length(text);
        const auto byte = static_cast<unsigned char>(text.front());
        if (length == 0) {
            out += "\xEF\xBF\xBD";
        } else if (byte == '"' || byte == '\\') {
            out += '\\';
            out += text.front();
        } else if (byte == '\n') {
            out += "\\n";
        } else if (byte < 0x20 || byte == 0x7F) {
            out += fmt::format("\\u{:04x}", byte);
        } else {
            out += text.substr(0, length);
        }
        text.remove_prefix(length == 0 ? 1 : length);
    }
    return out + '"';
}

} // namespace slipway::cli
