// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.hpp"

#include <string>
#include <string_view>

namespace slipway::base {

/// Absolute path of one of our own programs that people do not call: beside the running program, in
/// ../libexec or ../libexec/slipway from there (a build tree, an installed tree that was moved),
/// else where the build says that it is installed. Code::unsupported when it is in none of these.
Result<std::string> find_helper_program(std::string_view name);

} // namespace slipway::base
