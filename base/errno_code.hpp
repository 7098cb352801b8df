// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.hpp"

#include <cerrno>

namespace slipway::base {

/// Why a write, a sync, a link or a mkdir failed: Code::out_of_space for a full disk, a full quota
/// and a file that may not grow further, else `otherwise`.
constexpr Code code_of_errno(int err, Code otherwise = Code::io) noexcept {
    return err == ENOSPC || err == EDQUOT || err == EFBIG ? Code::out_of_space : otherwise;
}

/// fail_errno() with that code.
inline Unexpected fail_write(int err, std::string message, std::string hint = {}) {
    return fail_errno(code_of_errno(err), err, std::move(message), std::move(hint));
}

} // namespace slipway::base
