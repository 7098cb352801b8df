// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "prefetch/sources/choose.hpp"
#include "prefetch/sources/source.hpp"

#include <functional>

namespace slipway::prefetch::sources {

/// Gives LayerInput::open for a layer; 0 is the lowest.
using OpenerOfLayer = std::function<decltype(image::LayerInput::open)(std::size_t layer)>;

/// Puts together what choose_image() found. `root` is the digest of what the name meant; the text of
/// `uri` becomes the canonical reference.
ResolvedImage layered_image(const image::ImageUri& uri, ChosenImage chosen, image::Digest root,
                            const image::Platform& wanted, const OpenerOfLayer& opener,
                            std::shared_ptr<const TransferCounters> counters);

} // namespace slipway::prefetch::sources
