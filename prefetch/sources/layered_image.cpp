// SPDX-License-Identifier: Apache-2.0
#include "prefetch/sources/layered_image.hpp"

#include "image/transports.hpp"

namespace slipway::prefetch::sources {

ResolvedImage layered_image(const image::ImageUri& uri, ChosenImage chosen, image::Digest root,
                            const image::Platform& wanted, const OpenerOfLayer& opener,
                            std::shared_ptr<const TransferCounters> counters) {
    ResolvedImage image;
    image.canonical_reference = uri.text();
    image.root_digest = std::move(root);
    image.manifest_digest = chosen.manifest_document.digest;
    image.platform = chosen.config.platform.architecture.empty() ? wanted : chosen.config.platform;
    image.origin_kind = std::string(image::transport_name(uri.transport));
    LayeredImage content;
    content.manifest = std::move(chosen.manifest);
    content.config = std::move(chosen.config);
    content.config_json = std::move(chosen.config_json);
    content.manifest_json = std::move(chosen.manifest_document.body);
    content.counters = std::move(counters);
    for (std::size_t i = 0; i < content.manifest.layers.size(); ++i) {
        content.layers.push_back(
            {content.manifest.layers[i], content.config.diff_ids[i], opener(i)});
    }
    image.content = std::move(content);
    return image;
}

} // namespace slipway::prefetch::sources
