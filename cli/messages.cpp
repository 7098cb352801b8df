// SPDX-License-Identifier: Apache-2.0
#include "cli/messages.hpp"

#include "base/fd.hpp"
#include "base/format.hpp"
#include "base/text.hpp"

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

/// Length of the UTF-8 sequence at the front, 0 when there is none.
std::size_t sequence_length(std::string_view text) {
    const auto lead = static_cast<unsigned char>(text.front());
    const std::size_t length = lead < 0x80                   ? 1
                               : lead >= 0xC2 && lead < 0xE0 ? 2
                               : lead >= 0xE0 && lead < 0xF0 ? 3
                               : lead >= 0xF0 && lead < 0xF5 ? 4
                                                             : 0;
    if (length == 0 || length > text.size()) {
        return 0;
    }
    for (std::size_t i = 1; i < length; ++i) {
        if ((static_cast<unsigned char>(text[i]) & 0xC0U) != 0x80U) {
            return 0;
        }
    }
    // Overlong forms, surrogates and what lies beyond U+10FFFF are no UTF-8 either.
    const auto second = length > 1 ? static_cast<unsigned char>(text[1]) : 0U;
    const bool bad = (lead == 0xE0 && second < 0xA0) || (lead == 0xED && second > 0x9F) ||
                     (lead == 0xF0 && second < 0x90) || (lead == 0xF4 && second > 0x8F);
    return bad ? 0 : length;
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
        const auto length = sequence_length(text);
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
