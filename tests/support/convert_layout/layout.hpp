// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "prefetch/convert/contract.hpp"

#include <string>
#include <string_view>

namespace slipway::test {

/// An image in an OCI image layout directory. `name` picks the entry of index.json with that
/// org.opencontainers.image.ref.name; "" takes the only one there is. An index is resolved for
/// `platform`. Manifest and configuration are verified against their digests. With `as_pipe` no
/// layer says where it lies, as if it came from the network.
/// Code::source_not_found when there is no such image, source_protocol, media_type,
/// platform_mismatch, digest_mismatch.
base::Result<prefetch::convert::ConvertInput> layout_input(const std::string& directory,
                                                           std::string_view name,
                                                           const image::Platform& platform,
                                                           bool as_pipe);

} // namespace slipway::test
