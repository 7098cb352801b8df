// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "prefetch/convert/convert.hpp"

#include <string>
#include <string_view>

namespace slipway::prefetch::convert {

/// An image in an OCI image layout directory. `name` picks the entry of index.json with that
/// org.opencontainers.image.ref.name; "" takes the only one there is. An index is resolved for
/// `platform`. Manifest and configuration are verified against their digests.
/// Code::source_not_found when there is no such image, source_protocol, media_type,
/// platform_mismatch, digest_mismatch.
base::Result<ConvertInput> layout_input(const std::string& directory, std::string_view name,
                                        const image::Platform& platform);

/// A blob that is a file.
base::Result<std::unique_ptr<base::ByteSource>> open_file_source(const std::string& path);

/// Puts layers and diff ids together; Code::source_protocol when their numbers differ.
base::Result<std::vector<image::LayerInput>> match_layers(
    const image::Manifest& manifest, const image::ImageConfig& config,
    const std::function<decltype(image::LayerInput::open)(const image::Descriptor&)>& opener);

} // namespace slipway::prefetch::convert
