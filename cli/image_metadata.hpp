// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "image/inspect.hpp"
#include "image/open_image.hpp"

namespace slipway::cli {

/// What an image says about itself: from the metadata object of a SIF, else from the files below
/// /.singularity.d of its root file system. A SquashFS file system is decoded by a child process
/// without any privilege and behind a system call filter, because the image is hostile.
/// Code::image_unsupported for root file systems that this version cannot look into.
base::Result<image::Metadata> image_metadata(const image::OpenImage& image);

} // namespace slipway::cli
