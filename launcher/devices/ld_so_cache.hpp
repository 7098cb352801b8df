// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.hpp"

#include <cstdint>
#include <string_view>
#include <vector>

namespace slipway::launcher::devices {

inline constexpr const char* loader_cache = "/etc/ld.so.cache";
/// Bigger ones are not read.
inline constexpr std::size_t max_loader_cache = 64U << 20U;

/// A library that the loader of glibc finds by its name.
struct CachedLibrary {
    std::string_view name; ///< "libcuda.so.1": never empty, no '/'
    std::string_view path; ///< absolute
    std::uint32_t flags = 0;
};

/// The entries of /etc/ld.so.cache in their order (the loader takes the first that fits), for every
/// machine; those for processors with more than the usual instructions are left out. Both formats:
/// the new one also where it lies behind an old one. What comes back points into `bytes`.
///
/// For hostile bytes: every number is checked against the size, names have at most 255 bytes and
/// paths 4095. Code::limit_exceeded when there are more than 100,000 entries; Code::io for anything
/// else that is wrong.
base::Result<std::vector<CachedLibrary>> parse_loader_cache(std::string_view bytes);

} // namespace slipway::launcher::devices
