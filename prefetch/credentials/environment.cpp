// SPDX-License-Identifier: Apache-2.0
#include "prefetch/credentials/environment.hpp"

#include <cstdlib>

namespace slipway::prefetch {

Environment process_environment() {
    return [](const std::string& name) {
        const char* value = std::getenv(name.c_str());
        return value == nullptr ? std::string() : std::string(value);
    };
}

} // namespace slipway::prefetch
