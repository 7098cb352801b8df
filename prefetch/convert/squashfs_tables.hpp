// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.hpp"
#include "prefetch/convert/data_writer.hpp"
#include "prefetch/convert/tree.hpp"

#include <cstdint>

namespace slipway::prefetch::convert {

struct SquashfsFormat {
    squashfs::Compressor compressor = squashfs::default_compressor;
    int level = 3;
    std::uint32_t block_size = 128U << 10U; ///< a power of two, 4 KiB to 1 MiB
};

/// Begins a SquashFS 4.0 file system at file offset `base`: room for the superblock, and the
/// compressor's options. Returns where the data area begins, from `base`.
base::Result<std::uint64_t> begin_squashfs(int fd, std::uint64_t base,
                                           const SquashfsFormat& format);

struct SquashfsSize {
    std::uint64_t bytes = 0;  ///< as the superblock says
    std::uint64_t padded = 0; ///< with zeros up to a multiple of 4096: what a partition holds
    std::uint32_t inodes = 0;
};

/// Writes inodes, directories and all tables behind the data area, then the superblock. `data` has
/// been finished. `xattr_sets` holds the attribute sets of the records, each a row of names and
/// values packed by pack_xattrs(). Every file of the tree has its payload. All times are those of
/// the records; the superblock's is 0.
base::Result<SquashfsSize> finish_squashfs(int fd, std::uint64_t base,
                                           const SquashfsFormat& format, const Tree& tree,
                                           const DataWriter& data, const NamePool& xattr_sets);

/// One attribute set as text for a NamePool; equal sets give equal text. Entries are sorted by name
/// and have the prefix user., trusted. or security.; the empty set is "".
std::string pack_xattrs(const std::vector<std::pair<std::string, std::string>>& xattrs);

/// Device number as SquashFS stores it.
std::uint32_t pack_device(std::uint32_t major, std::uint32_t minor) noexcept;

} // namespace slipway::prefetch::convert
