// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "prefetch/stage/stage_types.hpp"

#include <chrono>
#include <mutex>
#include <string>
#include <string_view>

namespace slipway::prefetch::stage {

enum class ProgressStyle {
    terminal, ///< one line that is rewritten
    lines,    ///< a line for every phase and every ten seconds: readable in a job's output file
    json,     ///< one JSON object a line: every phase, and its numbers once a second
    quiet,
};

/// `terminal` when fd is one (and TERM is not "dumb"), else `lines`.
ProgressStyle style_for(int fd);

/// Shows people the progress of staging one image. Thread-safe.
class ProgressPrinter {
  public:
    ProgressPrinter(int fd, ProgressStyle style, std::string name);
    ~ProgressPrinter();
    ProgressPrinter(const ProgressPrinter&) = delete;
    ProgressPrinter& operator=(const ProgressPrinter&) = delete;

    void show(const StageProgress& progress);
    void done(const StagedImage& image);
    /// Removes the progress line, so that something else can be printed.
    void clear();

  private:
    using Clock = std::chrono::steady_clock;
    void write(std::string_view text) const;
    void show_terminal(const std::string& text);

    int fd_;
    ProgressStyle style_;
    std::string name_;
    std::mutex mutex_;
    Phase phase_ = Phase::queued;
    bool shown_ = false;
    bool line_open_ = false;
    Clock::time_point started_ = Clock::now();
    Clock::time_point phase_started_ = started_;
    Clock::time_point last_ = started_;
};

/// "downloading 1.2 GiB of 2.0 GiB (60 %), 12 s left": what a person reads. Pure.
std::string progress_text(const StageProgress& progress, double seconds_in_phase);
/// "1 m 05 s". Pure.
std::string seconds_text(double seconds);

} // namespace slipway::prefetch::stage
