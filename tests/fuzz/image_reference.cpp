// SPDX-License-Identifier: Apache-2.0
// Names of images from users: canonical text is stable (parsing it again gives the same), and a
// path can never get out of a repository or carry a control character.
#include "image/reference.hpp"

#include <cstdint>
#include <cstdlib>
#include <string_view>

using namespace slipway;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    if (const auto reference = image::parse_reference_or_enroot(text)) {
        const auto canonical = reference->text();
        const auto again = image::parse_reference(canonical);
        if (!again || again->text() != canonical ||
            reference->name().find("..") != std::string::npos) {
            std::abort();
        }
        for (const char c : canonical) {
            if (static_cast<unsigned char>(c) <= 0x20 || static_cast<unsigned char>(c) >= 0x7F) {
                std::abort();
            }
        }
    }
    for (const auto transport : {image::Transport::docker, image::Transport::library}) {
        if (const auto uri = image::parse_image(text, {}, transport)) {
            (void)image::default_file_name(*uri);
            const auto again = image::parse_image(uri->text());
            if (uri->is_remote() && (!again || again->text() != uri->text())) {
                std::abort();
            }
        }
    }
    (void)image::parse_image(text, [](const std::string& path) { return path.size() % 2 == 1; });
    return 0;
}
