// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "prefetch/convert/contract.hpp"

/// The converter: OCI layers in, one SIF out, in a single streaming pass without any temporary
/// files. docs/formats/convert.md says how it works; image-spec layer.md and umoci say what the
/// result must be. It runs in the program slipway-convert; everybody else calls convert_isolated().
namespace slipway::prefetch::convert {

/// Converts into `out_fd`, an empty regular file opened for reading and writing, which the caller
/// owns and, on success, publishes. On failure the file is emptied.
///
/// Equal input, options (threads and memory aside) and build give equal bytes. Needs no privilege.
/// Errors name the layer and, where there is one, the entry: Code::digest_mismatch (blob or diff id),
/// layer_invalid, media_type, unsupported (a compression), limit_exceeded, out_of_space, interrupted,
/// usage (options), or what a source reports.
base::Result<ConvertReport> convert(const ConvertInput& input, const ConvertOptions& options,
                                    int out_fd, ProgressSink& progress);

} // namespace slipway::prefetch::convert
