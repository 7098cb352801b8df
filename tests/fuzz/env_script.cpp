// SPDX-License-Identifier: Apache-2.0
// Script text of an image. Whatever is understood must leave proper names.
#include "base/words.hpp"
#include "launcher/env_script.hpp"

#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace slipway::launcher;
    const std::string text(reinterpret_cast<const char*>(data), size);
    Variables variables{{"HOME", {"/home/u", true}}, {"A", {"a b*", false}}};
    const auto before = variables.size();
    const bool done = evaluate_script(text, variables, [](char test, const std::string& path) {
        return (path.size() + static_cast<unsigned char>(test)) % 2 == 0;
    });
    if (!done && variables.size() != before) {
        std::abort();
    }
    for (const auto& [name, variable] : variables) {
        if (!slipway::base::is_identifier(name)) {
            std::abort();
        }
    }
    std::string value;
    (void)expand_double_quoted(text, variables, value);
    return 0;
}
