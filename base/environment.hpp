// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

namespace slipway::base {

/// Reads an environment variable; empty when unset. A function, so that tests need no setenv and
/// the service can answer for nobody.
using Environment = std::function<std::string(const std::string&)>;
Environment process_environment();

} // namespace slipway::base
