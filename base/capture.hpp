// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/child.hpp"
#include "base/deadline.hpp"

namespace slipway::base {

/// What a child printed and how it ended.
struct Captured {
    std::string output;
    int status = 0; ///< of waitpid(2)
    [[nodiscard]] int exit_code() const noexcept { return exit_code_of(status); }
};

enum class ErrorOutput { inherit, discard, capture };

/// Runs a program and collects what it writes to descriptor 1 until it has ended, at most `max`
/// bytes (Code::limit_exceeded) and until the deadline (Code::timed_out); in both cases it is
/// killed. Descriptor 0 is /dev/null unless `what` names it. A program that cannot be executed is
/// Code::system with exec's errno, so that it can never be confused with one that exits with 127.
/// On an error the output is wiped.
Result<Captured> capture_output(Child::Spawn what, std::size_t max, const Deadline& deadline,
                                ErrorOutput errors = ErrorOutput::discard);

/// Absolute path of an executable file of that name in a list of directories like PATH; "" when
/// there is none. Relative entries do not count.
std::string find_in_path(std::string_view name, std::string_view search_path);

} // namespace slipway::base
