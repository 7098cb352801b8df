// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "prefetch/convert/name_pool.hpp"

#include <cstdint>
#include <vector>

namespace slipway::prefetch::convert {

enum class RecordKind : std::uint8_t {
    file,
    directory,
    symlink,
    hard_link,
    char_device,
    block_device,
    fifo,
    whiteout, ///< `path` is what it hides
    opaque,   ///< `path` is the directory whose lower content it hides
};

/// One entry of a layer, as small as it gets: images have millions.
struct Record {
    static constexpr std::uint32_t no_payload = UINT32_MAX;

    PathId path = PathPool::root;
    std::uint32_t mtime = 0;
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
    NameId xattrs = 0; ///< in the pool of attribute sets; 0 is the empty set
    /// file: payload in the DataWriter or no_payload; symlink: its target in the name pool;
    /// hard link: PathId of its target; device: number as SquashFS packs it.
    std::uint32_t value = 0;
    std::uint16_t mode = 0; ///< 12 bits
    RecordKind kind = RecordKind::file;
    bool skipped = false; ///< a file whose content has not been written
};
static_assert(sizeof(Record) == 28);

using LayerRecords = GrowingArray<Record>;

} // namespace slipway::prefetch::convert
