// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/byte_source.hpp"
#include "image/digest.hpp"
#include "image/oci.hpp"

#include <functional>
#include <memory>

namespace slipway::image {

/// One layer of an image, as a source gives it and the converter takes it. `open` is called from
/// any thread; each call starts at the first byte. The converter calls it when the layer's turn
/// nears, and once more in the rare case that a file of it turns out to be needed after all.
struct LayerInput {
    Descriptor blob; ///< digest and size are verified by the reader, the media type is a hint
    Digest diff_id;  ///< of the tar inside, from the image configuration; verified likewise
    std::function<base::Result<std::unique_ptr<base::ByteSource>>()> open;
};

} // namespace slipway::image
