// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/format.hpp"
#include "base/text.hpp"
#include "prefetch/sources/source.hpp"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace slipway::prefetch::sources {

/// "a, b, @2": what a user could have asked for. An image to which `name_of` gives no name is known
/// by its position.
template <typename Images, typename NameOf>
std::string choices_text(const Images& images, NameOf name_of) {
    constexpr std::size_t most = 10;
    std::vector<std::string> names;
    for (std::size_t i = 0; i < std::min(images.size(), most); ++i) {
        std::string name = name_of(images[i]);
        names.push_back(name.empty() ? fmt::format("@{}", i) : std::move(name));
    }
    return base::printable(base::joined(names, ", ")) + (images.size() > most ? ", ..." : "");
}

/// oci: and oci-archive:, an OCI image layout (image-spec 1.1 "image-layout.md") in a directory or
/// a tar archive. Selector of the URI: a name (annotation org.opencontainers.image.ref.name),
/// "@sha256:…" or "@N", the position in index.json from 0. Without one the layout must hold one
/// image, or one for the wanted platform when all entries name their platform.
base::Result<std::unique_ptr<Source>> make_oci_source(const image::ImageUri& uri,
                                                      const SourceContext& context);

/// docker-archive:, what `docker save` and `podman save` write. Selector: a reference as in
/// RepoTags, or "@N". Such an archive has no manifest: one is made (OCI, layers as they lie in the
/// archive), and its digest identifies the image.
base::Result<std::unique_ptr<Source>> make_docker_archive_source(const image::ImageUri& uri,
                                                                 const SourceContext& context);

/// file:, an image file that is kept as it is.
base::Result<std::unique_ptr<Source>> make_file_source(const image::ImageUri& uri,
                                                       const SourceContext& context);

} // namespace slipway::prefetch::sources
