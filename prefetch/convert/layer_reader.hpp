// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "prefetch/convert/convert.hpp"
#include "prefetch/convert/data_writer.hpp"
#include "prefetch/convert/record.hpp"
#include "prefetch/convert/tar_reader.hpp"

#include <cstdint>
#include <set>
#include <string>
#include <vector>

namespace slipway::prefetch::convert {

/// Turns the entries of layers into records, and the content of files into payloads, seeing the
/// layers from the top down. Content that an upper layer literally hides is left out.
class LayerReader {
  public:
    struct Counts {
        std::uint64_t entries = 0;
        std::uint64_t content_bytes = 0;
        std::uint64_t masked_files = 0;
        std::uint64_t masked_bytes = 0;
        std::uint64_t climbing_paths = 0;
        TarNotes tar;
        std::set<std::string> dropped_xattrs; ///< names, the first few
        std::uint64_t dropped_xattr_count = 0;
    };

    LayerReader(NamePool& names, PathPool& paths, NamePool& xattr_sets, DataWriter& data,
                const ConvertOptions& options);

    /// First visit of a layer (0 is the lowest; call with falling numbers).
    base::Result<LayerRecords> read(TarInput& tar, std::uint16_t layer);

    /// Second visit: writes the content of those records (indexes, true is wanted) that the first
    /// one left out. The archive is the same, its digests say so.
    base::Result<void> read_again(TarInput& tar, LayerRecords& records,
                                  const std::vector<bool>& wanted);

    [[nodiscard]] const Counts& counts() const noexcept { return counts_; }

  private:
    /// False for an entry that leaves no trace.
    base::Result<bool> make_record(const TarEntry& entry, Record& record);
    base::Result<bool> make_whiteout(const TarEntry& entry, Record& record);
    base::Result<void> fill(const TarEntry& entry, Record& record);
    base::Result<std::uint32_t> link_value(const TarEntry& entry);
    base::Result<NameId> attributes(const TarEntry& entry);
    [[nodiscard]] TarLimits tar_limits() const;
    base::Result<void> take_content(TarReader& reader, const TarEntry& entry, Record& record);
    void cover(const Record& record, std::uint16_t layer);

    NamePool& names_;
    PathPool& paths_;
    NamePool& xattr_sets_;
    DataWriter& data_;
    const ConvertOptions& options_;
    const PathPool::Limits path_limits_;
    Counts counts_;
};

} // namespace slipway::prefetch::convert
