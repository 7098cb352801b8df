// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/fd.hpp"
#include "image/sif.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace slipway::test {

/// An anonymous file (memfd) with that content.
base::UniqueFd file_with(std::string_view content);

/// Whole content of an open file.
std::string content_of(int fd);

/// The object oci-config.json of a SIF, which must have one.
base::Result<std::string> read_oci_config(int fd, const image::SifInfo& sif);

/// Length of an open file.
std::uint64_t size_of(int fd);

struct Output {
    int exit_code = -1;
    std::string out; ///< stdout and stderr together
};
/// Runs a program (absolute path) to its end; exit code -1 when it could not be started.
Output run(const std::vector<std::string>& argv, const std::vector<std::string>& environment = {});

/// First of these paths that is executable, "" when none is.
std::string find_program(const std::vector<std::string>& paths);

/// Bytes from hexadecimal with blanks.
std::string from_hex(std::string_view text);

} // namespace slipway::test
