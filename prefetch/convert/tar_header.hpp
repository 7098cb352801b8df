// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "prefetch/convert/tar_reader.hpp"

namespace slipway::prefetch::convert {

/// One header block, decoded; shared by the two files of the tar reader.
struct TarReader::Header {
    std::array<std::uint8_t, 512> raw{};
    std::string name; ///< with the ustar prefix
    std::string link;
    char type = 0;
    bool gnu = false; ///< GNU's own magic: other meanings behind byte 345
    std::int64_t mode = 0;
    std::int64_t uid = 0;
    std::int64_t gid = 0;
    std::int64_t size = 0; ///< never negative
    std::int64_t mtime = 0;

    [[nodiscard]] std::span<const std::uint8_t> field(std::size_t at, std::size_t size_) const {
        return std::span(raw).subspan(at, size_);
    }
};

} // namespace slipway::prefetch::convert
