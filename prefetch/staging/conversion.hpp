// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/config.hpp"
#include "prefetch/convert/isolated.hpp"
#include "prefetch/sources/source.hpp"
#include "prefetch/stage/stage_types.hpp"

#include <stop_token>

namespace slipway::prefetch::staging {

/// Converts layers into an empty file, reporting progress to `sink` several times a second.
base::Result<convert::ConvertReport> convert_image(const sources::LayeredImage& image,
                                                   const image::NativeSource& source,
                                                   const config::Config& config, int out_fd,
                                                   const stage::StageSink& sink,
                                                   std::stop_token stop);

/// The error with what to do next, where whoever found the fault did not say.
base::Error with_advice(base::Error error);

/// Bytes that staging will need at most: the layers as they come, once more for what is spooled,
/// and the image, which is rarely larger than its compressed layers; of a finished file its size.
std::uint64_t bytes_needed(const sources::ResolvedImage& image);

} // namespace slipway::prefetch::staging
