// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.hpp"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace slipway::cli {

using Variables = std::vector<std::pair<std::string, std::string>>;

/// One --env argument (native-image.md 6): with a single = the rest is the value, commas included,
/// and double quotes around the whole argument are dropped; with more it is a CSV list of
/// NAME=VALUE. Code::usage; what is said does not name the option.
base::Result<Variables> parse_env_argument(std::string_view argument);

/// Variables that the shell script `path` sets (--env-file). The script is the user's own and runs
/// as the user: /bin/sh sources it with the caller's environment, its own output goes to stderr.
/// What it exports, sets or sets again counts; what bash or dash set by themselves does not.
/// Code::option_invalid when it fails.
base::Result<Variables> read_env_file(const std::string& path,
                                      const std::vector<std::string>& environment);

/// Names that the script's text assigns ("A=1", "export B=2", "  C=3; D=4"), for variables whose
/// new value is the old one.
std::vector<std::string> assigned_names(std::string_view script);

} // namespace slipway::cli
