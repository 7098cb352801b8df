// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "image/open_image.hpp"

#include <string>

namespace slipway::launcher {

/// Opens an image of the site's store (store/store.hpp) by its id: a regular file images/ID.sif
/// beneath the directory `store`, without a symlink on the way, which belongs, as its directory
/// does, to the owner of the store and can be written by nobody else. In a user namespace the
/// kernel shows owners that it does not map as one: there another owner is noticed only when it is
/// the user.
///
/// Code::image_not_found, Code::image_unreadable.
base::Result<image::OpenImage> open_store_image(const std::string& store, const std::string& id);

/// Path of the same, for messages.
std::string store_image_path(const std::string& store, const std::string& id);

} // namespace slipway::launcher
