// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/fd.hpp"
#include "cli/options.hpp"
#include "image/stored_image.hpp"

#include <string>
#include <vector>

/// The second program, libexec/slipway-images: everything that needs the network or the converter.
/// It has the same options and messages; `slipway` becomes it, so that `slipway exec` stays light.
namespace slipway::cli {

/// As base::find_helper_program().
base::Result<std::string> find_images_program();

/// Becomes `slipway-images ARGUMENTS`; returns only on error.
base::Error become_images_program(const std::vector<std::string>& arguments);

/// Store and id of the image that `uri` stands for, fetched first if need be: runs `slipway-images
/// stage --print-path URI`, whose only line on stdout is the path of its file; progress goes to stderr.
/// An interrupt at the terminal reaches both programs.
base::Result<image::StoredImageName> staged_image(const std::string& uri,
                                                  const std::vector<std::string>& environment,
                                                  const std::vector<std::string>& options);

/// The same without the store (--disable-cache): the image lies in a file of its own, which has no name any
/// more and goes with the descriptor. It is kept in temporary_directory().
base::Result<base::UniqueFd> built_image(const std::string& uri, const EnvironmentView& environment,
                                         const std::vector<std::string>& options);

} // namespace slipway::cli
