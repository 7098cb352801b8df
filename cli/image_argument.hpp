// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/fd.hpp"
#include "cli/session.hpp"
#include "config/config.hpp"
#include "image/stored_image.hpp"

#include <optional>
#include <string>

namespace slipway::cli {

struct ImageFile {
    std::string path;    ///< absolute
    /// Where it is in a store, which says by whom it must have been made; then nothing opens the path.
    std::optional<image::StoredImageName> stored;
    base::UniqueFd file; ///< when the path is one of this descriptor (--disable-cache)
};

/// The image that a word on the command line means: a file or directory as it is, anything else after
/// slipway-images has fetched it. Code::unsupported for instance://.
base::Result<ImageFile> find_image(const std::string& word, const Session& session);

/// Root of the store that it is in, "" when that is the site's (and when it is in none).
std::string own_store(const ImageFile& image, const config::Config& config);

} // namespace slipway::cli
