// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/fd.hpp"
#include "cli/session.hpp"

namespace slipway::cli {

struct ImageFile {
    std::string path;    ///< absolute
    base::UniqueFd file; ///< when the path is one of this descriptor (--disable-cache)
};

/// The image that a word on the command line means: a file or directory as it is, anything else after
/// slipway-images has fetched it. Code::unsupported for instance://.
base::Result<ImageFile> find_image(const std::string& word, const Session& session);

} // namespace slipway::cli
