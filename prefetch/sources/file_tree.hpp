// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/fd.hpp"
#include "base/byte_source.hpp"

#include <cstdint>
#include <memory>
#include <string>

namespace slipway::prefetch::sources {

/// Read-only files under relative names: a directory or a tar archive. Thread-safe once made.
class FileTree {
  public:
    FileTree() = default;
    FileTree(const FileTree&) = delete;
    FileTree& operator=(const FileTree&) = delete;
    virtual ~FileTree() = default;

    [[nodiscard]] virtual bool exists(const std::string& name) const = 0;
    /// Code::source_not_found when there is no regular file of that name.
    virtual base::Result<std::uint64_t> size(const std::string& name) const = 0;
    virtual base::Result<std::unique_ptr<base::ByteSource>> open(const std::string& name) const = 0;
    /// For messages: 'blobs/x' in '/a/b.tar'.
    [[nodiscard]] virtual std::string describe(const std::string& name) const = 0;
};

/// A directory, with the rights of the process. Symlinks are followed, because people link big blobs
/// to other disks; content is checked against digests anyway.
base::Result<std::shared_ptr<const FileTree>> open_directory_tree(const std::string& path);

/// A tar archive, also compressed (gzip, zstd, xz, bzip2): then it is unpacked once into a nameless
/// file in the directory `spool`, at most `max_unpacked` bytes. Names lose a leading "./". Of several entries
/// with one name the last counts. Symlinks and hard links are resolved inside the archive, at most 16
/// steps. Code::source_protocol for an archive that cannot be read.
base::Result<std::shared_ptr<const FileTree>> open_tar_tree(const std::string& path,
                                                            int spool,
                                                            std::uint64_t max_unpacked);

/// A whole file, at most `max` bytes (Code::limit_exceeded).
base::Result<std::string> read_small(const FileTree& tree, const std::string& name,
                                     std::size_t max);

} // namespace slipway::prefetch::sources
