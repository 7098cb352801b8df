// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "squashfs/codec/decoder.hpp"
#include "squashfs/reader/image.hpp"

#include <sys/stat.h>
#include <sys/uio.h>

#include <string>
#include <string_view>

namespace slipway::squashfs::reader {

/// An inode with everything that its record says, whatever its on-disk form.
struct Inode {
    std::uint64_t reference = 0;
    std::uint32_t mode = 0; ///< with the type bits of stat(2)
    std::uint32_t mtime = 0;
    std::uint32_t number = 0;
    std::uint32_t nlink = 1;
    std::uint32_t xattrs = no_xattrs;
    std::uint32_t rdev = 0;       ///< as the image stores it: new_encode_dev() of the kernel
    std::uint64_t size = 0;       ///< as stat(2) shows it
    std::uint64_t sparse = 0;     ///< bytes of the size that take no space
    std::uint64_t data_start = 0; ///< files: position of the first block
    std::uint32_t fragment = no_fragment;
    std::uint32_t fragment_offset = 0;
    MetadataPlace listing; ///< directories
    std::uint32_t index_count = 0;
    std::uint32_t parent = 0; ///< directories: inode number of the parent
    MetadataPlace tail;       ///< what follows: block list, directory index or link target
};

struct DirectoryEntry {
    std::uint64_t reference = 0; ///< of its inode
    std::uint32_t number = 0;
    std::uint32_t type = 0; ///< DT_* of readdir(3)
    std::string_view name;  ///< valid until the next call
};

/// The answer to a read: pieces in order, not copied together. They stay valid until the next
/// read() of the same Reader or release().
struct FileData {
    std::vector<iovec> pieces;
    std::vector<BlockCache::Ref> pins;
    std::size_t size = 0;

    void release() noexcept {
        pieces.clear();
        pins.clear();
        size = 0;
    }
};

class Reader;

/// Reads decompressed metadata from some place on, across block borders.
class MetadataStream {
  public:
    MetadataStream(Reader& reader, MetadataPlace place) noexcept;

    [[nodiscard]] bool read(void* out, std::size_t count);
    [[nodiscard]] bool skip(std::size_t count);
    /// What is left of the current block; at least one byte, or empty on damage.
    [[nodiscard]] std::span<const std::uint8_t> chunk();
    void consume(std::size_t count) noexcept { place_.offset += static_cast<std::uint32_t>(count); }
    [[nodiscard]] MetadataPlace place() const noexcept { return place_; }

  private:
    Reader* reader_;
    MetadataPlace place_;
    BlockCache::Ref block_;
};

/// Reads one directory in the order of the image, starting anywhere.
class Listing {
  public:
    /// `position` counts bytes of the listing: 0, or one that position() gave for this directory.
    Listing(Reader& reader, const Inode& directory, std::uint64_t position);

    /// 0: `entry` is set; ENOENT: the end; else an errno.
    int next(DirectoryEntry& entry);
    [[nodiscard]] std::uint64_t position() const noexcept { return place_.position; }
    /// Takes the last next() back, for an entry that finds no room in an answer.
    void step_back() noexcept;
    /// Keeps the place for a later Listing that starts at position().
    void remember();

  private:
    friend class Reader;
    bool seek(const Inode& directory, std::uint64_t position);
    int begin_run();

    Reader& reader_;
    std::uint64_t end_ = 0; ///< bytes of the whole listing
    ListingIndex::Place place_;
    ListingIndex::Place before_; ///< where the last next() began
    MetadataStream stream_;
    bool lost_ = false; ///< the starting position does not exist
    char name_[257];
};

/// What one thread needs to read an image: decompressor and buffers. Not thread-safe; any number of
/// them may work on one Image. Functions return 0 or an errno: every damage is EIO, because
/// all that anybody can do with it is to pass it to the kernel. std::bad_alloc comes out of all of
/// them and leaves everything as it was.
class Reader {
  public:
    explicit Reader(Image& image);
    [[nodiscard]] bool ready() const noexcept { return decoder_ != nullptr; }

    int inode(std::uint64_t reference, Inode& out);
    /// ENOENT when there is no such name.
    int lookup(const Inode& directory, std::string_view name, DirectoryEntry& out);
    int read_link(const Inode& inode, std::string& out);
    /// At most `size` bytes (and at most max_read); fewer only at the end of the file.
    int read(const Inode& inode, std::uint64_t offset, std::size_t size, FileData& out);
    /// The most that a kernel asks for that accepts no limit: 32 pages of 64 KiB.
    static constexpr std::size_t max_read = 2U << 20U;
    /// Of one read: every block of the smallest size, two in part, and a fragment.
    static constexpr std::size_t max_pieces = max_read / 4096 + 3;

    /// Names with their prefix, each ended by NUL; without trusted.*, which only real root may see.
    int list_xattrs(const Inode& inode, std::string& out);
    /// ENODATA when there is none of that name.
    int get_xattr(const Inode& inode, std::string_view name, std::string& out);

    BlockCache::Ref metadata(std::uint64_t position);
    [[nodiscard]] Image& image() noexcept { return image_; }

  private:
    struct XattrEntry;
    struct BlockWalk;

    std::optional<BlockCache::Loaded> load_metadata(std::uint64_t position,
                                                    std::span<std::uint8_t> buffer) noexcept;
    std::optional<std::size_t> decompress_block(std::uint64_t position, std::uint32_t header,
                                                std::span<std::uint8_t> buffer) noexcept;
    int begin_walk(const Inode& inode, std::uint64_t block, BlockWalk& walk);
    int add_block(std::uint64_t position, std::uint32_t header, std::size_t from, std::size_t count,
                  bool whole, FileData& out);
    int add_fragment(const Inode& inode, std::size_t from, std::size_t count, FileData& out);
    std::span<std::uint8_t> scratch(std::size_t count);
    int open_xattrs(const Inode& inode, MetadataStream& stream, std::uint32_t& count);
    int next_xattr(MetadataStream& stream, std::string_view only, XattrEntry& out);
    int xattr_value(MetadataStream& stream, bool elsewhere, std::string* out);
    [[nodiscard]] std::optional<MetadataPlace> place_of(std::uint64_t table,
                                                        std::uint64_t reference) const noexcept;

    Image& image_;
    std::unique_ptr<codec::Decoder> decoder_;
    std::unique_ptr<std::uint8_t[]> stored_;  ///< one block as the image stores it
    std::unique_ptr<std::uint8_t[]> scratch_; ///< blocks that are answered without being cached
    std::size_t scratch_used_ = 0;
    std::size_t scratch_bytes_ = 0;
    char name_[257];
};

} // namespace slipway::squashfs::reader
