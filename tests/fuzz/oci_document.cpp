// SPDX-License-Identifier: Apache-2.0
// JSON from registries and archives: every parser on every input; what we write ourselves must be
// read again.
#include "image/inspect.hpp"
#include "image/native.hpp"
#include "image/oci.hpp"

#include <cstdint>
#include <cstdlib>
#include <string_view>

using namespace slipway;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    if (const auto document = image::parse_document(text)) {
        if (const auto* manifest = std::get_if<image::Manifest>(&*document)) {
            (void)image::require_image(*manifest);
        } else if (const auto* index = std::get_if<image::Index>(&*document)) {
            (void)image::select_platform(*index, image::host_platform());
        }
    }
    if (const auto config = image::parse_image_config(text)) {
        const auto json = config->config_json();
        const auto again = image::parse_image_config("{\"config\":" + json + "}");
        if (!again || again->config_json() != json) {
            std::abort();
        }
        const auto source = image::native_source("docker://x", "1");
        if (!image::parse_metadata(image::inspect_metadata_text(source, *config))) {
            std::abort();
        }
        (void)image::native_tree(source, *config);
    }
    (void)image::parse_archive_manifest(text);
    (void)image::check_layout_marker(text);
    (void)image::parse_platform(text);
    (void)image::parse_labels(text);
    return 0;
}
