// SPDX-License-Identifier: Apache-2.0
#include "prefetch/stage/progress_printer.hpp"

#include "base/fd.hpp"
#include "base/format.hpp"
#include "base/text.hpp"
#include "prefetch/stage/events.hpp"
#include "prefetch/stage/phases.hpp"

#include <algorithm>
#include <cstdlib>

#include <sys/ioctl.h>
#include <unistd.h>

namespace slipway::prefetch::stage {
namespace {

std::size_t terminal_width(int fd) {
    winsize size{};
    return ::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 80;
}

/// Between two reports of one phase. A program can take more than a job's output file should.
std::chrono::milliseconds rest_between(ProgressStyle style) {
    return std::chrono::milliseconds(style == ProgressStyle::terminal ? 100
                                     : style == ProgressStyle::json   ? 1000
                                                                      : 10000);
}

} // namespace

ProgressStyle style_for(int fd) {
    const char* term = std::getenv("TERM");
    const bool dumb = term == nullptr || std::string_view(term) == "dumb";
    return ::isatty(fd) == 1 && !dumb ? ProgressStyle::terminal : ProgressStyle::lines;
}

std::string seconds_text(double seconds) {
    const auto whole = static_cast<std::uint64_t>(std::max(0.0, seconds) + 0.5);
    if (whole < 60) {
        return fmt::format("{} s", whole);
    }
    return whole < 3600 ? fmt::format("{} m {:02} s", whole / 60, whole % 60)
                        : fmt::format("{} h {:02} m", whole / 3600, whole / 60 % 60);
}

std::string progress_text(const StageProgress& progress, double seconds_in_phase) {
    const auto& row = row_of(progress.phase);
    std::string text(row.text);
    if (!row.detail_key.empty()) {
        return text + base::printable(progress.detail);
    }
    if (progress.phase == Phase::queued && progress.done > 1) {
        return text + fmt::format(", place {}", progress.done);
    }
    if (progress.image) {
        return text + " to " + base::printable(progress.image->digest);
    }
    if (row.total_key.empty()) {
        return text;
    }
    text += " " + base::size_text(progress.done);
    if (progress.total == 0) {
        return text;
    }
    const auto done = std::min(progress.done, progress.total);
    text += fmt::format(" of {} ({} %)", base::size_text(progress.total),
                        done * 100 / progress.total);
    // The first moments say nothing about the rest.
    if (seconds_in_phase > 1.5 && done > 0 && done < progress.total) {
        const double left = seconds_in_phase * static_cast<double>(progress.total - done) /
                            static_cast<double>(done);
        text += ", " + seconds_text(left) + " left";
    }
    return text;
}

ProgressPrinter::ProgressPrinter(int fd, ProgressStyle style, std::string name)
    : fd_(fd), style_(style), name_(base::printable(name)) {}

ProgressPrinter::~ProgressPrinter() {
    clear();
}

void ProgressPrinter::write(std::string_view text) const {
    (void)base::write_all(fd_, text); // a closed stderr must not stop the work
}

void ProgressPrinter::show_terminal(const std::string& text) {
    auto line = "slipway: " + name_ + ": " + text;
    const auto width = terminal_width(fd_) - 1;
    if (line.size() > width) {
        line.resize(width);
    }
    write("\r" + line + "\x1b[K");
    line_open_ = true;
}

void ProgressPrinter::show(const StageProgress& progress) {
    const std::lock_guard lock(mutex_);
    const auto now = Clock::now();
    const bool new_phase = !shown_ || progress.phase != phase_;
    if (new_phase) {
        phase_ = progress.phase;
        phase_started_ = now;
    }
    const auto rest = rest_between(style_);
    // A line in a file says something only about work that takes a while.
    const bool brief = style_ == ProgressStyle::lines && now - started_ < std::chrono::seconds(1);
    if (style_ == ProgressStyle::quiet || brief || (!new_phase && now - last_ < rest)) {
        return;
    }
    shown_ = true;
    last_ = now;
    const double seconds = std::chrono::duration<double>(now - phase_started_).count();
    const auto text = progress_text(progress, seconds);
    switch (style_) {
    case ProgressStyle::terminal:
        show_terminal(text);
        break;
    case ProgressStyle::lines:
        write("slipway: " + name_ + ": " + text + "\n");
        break;
    case ProgressStyle::json:
        write(event_line(progress) + "\n");
        break;
    case ProgressStyle::quiet:
        break;
    }
}

void ProgressPrinter::done(const StagedImage& image) {
    clear();
    const std::lock_guard lock(mutex_);
    if (style_ == ProgressStyle::json) {
        write(event_line(image) + "\n");
    }
    // What was there already is not worth a line.
    if ((style_ == ProgressStyle::terminal || style_ == ProgressStyle::lines) && !image.was_present) {
        const double seconds = std::chrono::duration<double>(Clock::now() - started_).count();
        write(fmt::format("slipway: {}: ready, {} in {}\n", name_, base::size_text(image.size),
                          seconds_text(seconds)));
    }
}

void ProgressPrinter::clear() {
    const std::lock_guard lock(mutex_);
    if (line_open_) {
        write("\r\x1b[K");
        line_open_ = false;
    }
}

} // namespace slipway::prefetch::stage
