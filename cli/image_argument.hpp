// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/session.hpp"

namespace slipway::cli {

/// Absolute path of the image that a word on the command line means: a file or directory as it is,
/// anything else after slipway-images has fetched it. Code::unsupported for instance://.
base::Result<std::string> image_path(const std::string& word, const Session& session);

} // namespace slipway::cli
