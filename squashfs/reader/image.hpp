// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "squashfs/reader/block_cache.hpp"
#include "squashfs/superblock.hpp"

#include <map>
#include <vector>

namespace slipway::squashfs::reader {

/// A place in the metadata: a block (position in the image) and an offset in its decompressed
/// bytes.
struct MetadataPlace {
    std::uint64_t block = 0;
    std::uint32_t offset = 0;
};

/// Where the block list of a big file stands at some block, so that reading at the end of a huge
/// file does not walk the whole list again. Shared by all threads; memory is bounded.
class BlockListIndex {
  public:
    struct Checkpoint {
        std::uint64_t block = 0; ///< number of the file's block
        std::uint64_t data = 0;  ///< position of that block's data
        MetadataPlace list;      ///< its entry in the block list
    };
    /// A checkpoint is worth keeping every so many blocks.
    static constexpr std::uint64_t spacing = 2048;

    /// The nearest known one at or before `block`; nothing when the list has to be walked from its
    /// start.
    std::optional<Checkpoint> nearest(std::uint64_t inode, std::uint64_t block);
    void remember(std::uint64_t inode, const Checkpoint& checkpoint);

  private:
    static constexpr std::size_t max_checkpoints = 128 * 1024;
    std::mutex mutex_;
    std::map<std::pair<std::uint64_t, std::uint64_t>, Checkpoint> checkpoints_; ///< {inode, block}
};

/// Where the listing of a directory stands at the end of an answer, so that the next request of a
/// long listing starts there. A hint only: without it the place is found again from the directory's
/// index.
class ListingIndex {
  public:
    struct Place {
        std::uint64_t directory = 0; ///< inode reference
        std::uint64_t position = 0;  ///< bytes of the listing before this place
        MetadataPlace metadata;
        std::uint32_t run_left = 0; ///< entries left in the current run, with its header's numbers
        std::uint32_t run_block = 0;
        std::uint32_t run_inode = 0;
    };
    std::optional<Place> find(std::uint64_t directory, std::uint64_t position);
    void remember(const Place& place);

  private:
    std::mutex mutex_;
    Place places_[32];
    std::size_t next_ = 0;
};

/// Memory for decompressed blocks, touched only as it fills.
struct CacheLimits {
    /// Metadata of an image with some 100,000 files; beyond that the least used blocks go.
    std::size_t metadata_blocks = 2048;
    /// Data blocks that were needed only in part: fragments of small files, ends of read-ahead.
    std::size_t data_bytes = 32U << 20U;
};

/// An open SquashFS image: what all threads share. The superblock and the small tables have been
/// checked, everything else is checked when it is read. The descriptor belongs to the caller and
/// must outlive the object; only pread(2) is used on it.
class Image {
  public:
    /// Opens and checks the SquashFS 4.0 file system at `offset` of the file (superblock, tables,
    /// root directory), so that a bad image gives a clear error before it is used: image_format,
    /// image_unsupported (version, compressor), image_corrupt, io. `size` is the room that it has.
    /// About 0.1 ms; needs no privilege and no other call than pread(2) and posix_fadvise(2).
    static base::Result<std::unique_ptr<Image>>
    open(int fd, std::uint64_t offset, std::uint64_t size, const CacheLimits& limits = {});

    [[nodiscard]] const Superblock& super() const noexcept { return super_; }
    [[nodiscard]] bool has_xattrs() const noexcept { return !xattr_blocks_.empty(); }

    /// Exactly `buffer.size()` bytes at `position`; false beyond the image or on an I/O error.
    [[nodiscard]] bool read(std::uint64_t position, std::span<std::uint8_t> buffer) const noexcept;
    /// Asks the kernel to fetch the inode and directory tables, which a start needs first and which
    /// lie together near the end of the image.
    void prefetch_metadata() const noexcept;

  private:
    friend class Reader;
    friend class Listing;

    Image(int fd, std::uint64_t offset, const Superblock& super, const CacheLimits& limits);
    base::Result<void> load_tables();
    base::Result<std::vector<std::uint64_t>> load_positions(std::uint64_t at, std::uint64_t records,
                                                            const char* what) const;
    [[nodiscard]] base::Result<void> check_root();

    int fd_;
    std::uint64_t offset_;
    Superblock super_;
    std::vector<std::uint64_t> fragment_blocks_;
    std::vector<std::uint64_t> xattr_blocks_;
    std::uint32_t xattr_count_ = 0;
    std::uint64_t xattr_values_ = 0;
    BlockCache metadata_;
    BlockCache data_;
    BlockListIndex block_lists_;
    ListingIndex listings_;
};

} // namespace slipway::squashfs::reader
