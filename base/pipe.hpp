// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/fd.hpp"

namespace slipway::base {

struct Pipe {
    UniqueFd reader;
    UniqueFd writer;
};

/// pipe2(2), both ends close-on-exec. Code::system.
Result<Pipe> make_pipe();

} // namespace slipway::base
