// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.hpp"

#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

/// How tar headers write numbers and pax records. Pure; malformed text is Code::layer_invalid.
namespace slipway::prefetch::convert {

/// A numeric header field: octal text or base-256.
base::Result<std::int64_t> parse_tar_number(std::span<const std::uint8_t> field);

/// Keys and values of pax records ("LEN KEY=VALUE\n"), as parts of `text`.
using PaxRecords = std::vector<std::pair<std::string_view, std::string_view>>;
base::Result<PaxRecords> parse_pax_records(std::string_view text);

} // namespace slipway::prefetch::convert
