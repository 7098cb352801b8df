// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "image/open_image.hpp"

/// What the server says about its image before it serves: one bounded packet. The side that reads
/// it may have capabilities, the side that writes it has decoded hostile bytes: nothing in the
/// packet is believed beyond its form.
namespace slipway::launcher::image_server {

/// An image (its SIF objects stay behind), or why it cannot be served.
std::string encode_report(const base::Result<image::ImageFile>& image);

/// Texts are cut where they are too long; architectures that nobody knows become "unknown". Code::
/// launcher_failed when the packet has another form.
base::Result<image::ImageFile> decode_report(std::string_view packet);

inline constexpr std::size_t max_report_bytes = 4096;

} // namespace slipway::launcher::image_server
