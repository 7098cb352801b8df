// SPDX-License-Identifier: Apache-2.0
#include "prefetch/credentials/docker_config.hpp"

#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace slipway::prefetch::credentials;
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    if (const auto config = parse_docker_config(text)) {
        for (const auto& [key, credential] : config->auths) {
            if (credential.password.empty() && credential.identity_token.empty()) {
                std::abort(); // an entry without a secret must not count as one
            }
        }
    }
    (void)parse_helper_answer(text).has_value();
    (void)parse_netrc(text);
    return 0;
}
