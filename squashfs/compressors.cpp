// SPDX-License-Identifier: Apache-2.0
#include "squashfs/compressors.hpp"

#include "base/format.hpp"

namespace slipway::squashfs {

std::string levels_text(const CompressorRow& row) {
    return fmt::format("{} has levels {} to {}", row.name, row.lowest_level, row.highest_level);
}

} // namespace slipway::squashfs
