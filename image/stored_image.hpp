// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "image/open_image.hpp"

#include <optional>
#include <string>

#include <sys/types.h>

/// A finished image in a store (store/store.hpp): the regular file images/ID.sif beneath its root. For
/// those who only run it, and must not run what somebody else has put in its way.
namespace slipway::image {

/// Path of the image, for messages and for people.
std::string stored_image_path(const std::string& store, const std::string& id);

struct StoredImageName {
    std::string store; ///< path of its root
    std::string id;
};
/// The same backwards; nothing for a path that cannot be one of a store's image.
std::optional<StoredImageName> parse_stored_image_path(const std::string& path);

/// Opens it: store, directory and file belong to one owner (`owner`, or else whoever owns the store)
/// and can be written by nobody else; no link leads to directory or file. In a user namespace the
/// kernel shows owners that it does not map as one: there, without `owner`, another owner is noticed
/// only when it is the user.
///
/// Code::image_not_found, Code::image_unreadable.
Result<OpenImage> open_stored_image(const std::string& store, const std::string& id,
                                    std::optional<uid_t> owner);

/// The same from the store's open root; `store` is its path, for messages.
Result<OpenImage> open_stored_image_in(int root, const std::string& store, const std::string& id,
                                       uid_t owner);

} // namespace slipway::image
