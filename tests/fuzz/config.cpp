// SPDX-License-Identifier: Apache-2.0
// The site file: whatever is accepted must be shown as text that is accepted again, unchanged.
#include "config/config.hpp"
#include "config/schema.hpp"

#include <cstdint>
#include <cstdlib>
#include <string_view>

using namespace slipway;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const auto config = config::parse(text, "fuzz");
    if (config.has_value() != config::problems(text, "fuzz").empty()) {
        std::abort();
    }
    if (!config) {
        return 0;
    }
    const auto shown = config::show(*config);
    const auto again = config::parse(shown, "shown");
    if (!again || config::show(*again) != shown) {
        std::abort();
    }
    return 0;
}
