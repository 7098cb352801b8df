// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "image/inspect.hpp"
#include "image/open_image.hpp"

namespace slipway::cli {

/// Makes the text that is shown from what an image says about itself.
using MetadataText = std::function<base::Result<std::string>(const image::Metadata&)>;

/// Gives text_of() what an open image says about itself: the metadata object of a SIF, else the files
/// below /.singularity.d of its root file system. `path` is for messages. An image is hostile: all of
/// its bytes, SIF header and superblock included, are read and text_of() runs in a child process
/// without any privilege and behind a system call filter. (A directory is read by path lookups that
/// the filter forbids, with no more rights than the user has anyway.) Errors as of
/// image::identify_image(); Code::image_unsupported for root file systems that this version cannot
/// look into.
base::Result<std::string> describe_image(const image::OpenImage& open, const std::string& path,
                                         const MetadataText& text_of);

} // namespace slipway::cli
