// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/error_codes.hpp"

#include <string>
#include <string_view>
#include <utility>

#include <tl/expected.hpp>

namespace slipway::base {

/// What went wrong. `message` says what failed and why, `hint` says what to do next (may be empty).
/// Both are one line of printable text by the time they reach a person (see one_line()).
struct Error {
    Code code = Code::internal;
    int sys_errno = 0; ///< errno of the failed call, 0 when there was none
    std::string message;
    std::string hint;

    /// Puts "what: " in front of the message, for callers that know more than the callee.
    Error&& context(std::string_view what) &&;
    Error&& with_hint(std::string text) &&;

    /// "image-not-found: cannot open '/x': No such file or directory (hint: check the path)".
    /// Control characters are escaped, so that it is always one safe line.
    [[nodiscard]] std::string one_line() const;
};

/// A value or an Error; the compiler complains when one is dropped unread.
template <typename T> class [[nodiscard]] Result : public tl::expected<T, Error> {
  public:
    using tl::expected<T, Error>::expected;
};
using Unexpected = tl::unexpected<Error>;

/// An error with a code and a message.
[[nodiscard]] Unexpected fail(Code code, std::string message, std::string hint = {});

/// An error after a failed system call: appends strerror(err) to the message.
[[nodiscard]] Unexpected fail_errno(Code code, int err, std::string message, std::string hint = {});

/// "Permission denied" for EACCES and so on; safe in threads.
std::string errno_text(int err);

} // namespace slipway::base

#define SLIPWAY_CONCAT_(a, b) a##b
#define SLIPWAY_CONCAT(a, b) SLIPWAY_CONCAT_(a, b)

/// Leaves the function with the error of a Result<void> (or any Result) that failed.
#define TRY(expr)                                                                                  \
    do {                                                                                           \
        if (auto try_result_ = (expr); !try_result_) {                                             \
            return ::tl::unexpected<::slipway::base::Error>(std::move(try_result_).error());       \
        }                                                                                          \
    } while (false)

/// TRY_ASSIGN(auto x, expr): declares or assigns x from a Result, or leaves with its error.
#define TRY_ASSIGN(target, expr) TRY_ASSIGN_(SLIPWAY_CONCAT(try_value_, __LINE__), target, expr)
#define TRY_ASSIGN_(tmp, target, expr)                                                             \
    auto tmp = (expr);                                                                             \
    if (!tmp) {                                                                                    \
        return ::tl::unexpected<::slipway::base::Error>(std::move(tmp).error());                   \
    }                                                                                              \
    target = std::move(*tmp)
