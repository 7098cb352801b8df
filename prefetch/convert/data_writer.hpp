// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.hpp"
#include "image/digest.hpp"
#include "prefetch/convert/block_pipeline.hpp"
#include "prefetch/convert/growing_array.hpp"
#include "prefetch/convert/name_pool.hpp"

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

namespace slipway::prefetch::convert {

using PayloadId = std::uint32_t;

/// Where the content of a file lies: whole blocks from `start` on, or a part of a fragment block.
struct Payload {
    static constexpr std::uint32_t no_fragment = UINT32_MAX;

    std::uint64_t size = 0;       ///< bytes of the file
    std::uint64_t start = 0;      ///< of the first block, from the start of the file system
    std::uint32_t first_block = 0; ///< index into block_sizes()
    std::uint32_t block_count = 0;
    std::uint32_t fragment = no_fragment;
    std::uint32_t fragment_offset = 0;
    bool sparse = false; ///< some block is a hole
};

/// A block that holds the content of many small files.
struct FragmentBlock {
    std::uint64_t start = 0;
    std::uint32_t size = 0; ///< as in block_sizes()
};

/// The data area of a SquashFS file system, written straight into place. Files smaller than a block
/// share fragment blocks, others have blocks of their own; equal contents are stored once. Blocks
/// are compressed by worker threads and written in the order in which they came, so the result is
/// the same for any number of threads.
///
/// One producer thread calls begin/append/end/finish; nothing is owned but memory and threads. Errors
/// of the workers come out of the next call. Disk full is Code::out_of_space.
class DataWriter {
  public:
    struct Options {
        squashfs::Compressor compressor = squashfs::default_compressor;
        int level = 3;
        std::uint32_t block_size = 128U << 10U; ///< a power of two, 4 KiB to 1 MiB
        unsigned threads = 1;
        std::size_t buffers = 0; ///< blocks in memory at once; at least threads + 3
        Budget* budget = nullptr; ///< for what each file and block costs; none: without limit
    };

    /// Writes to `fd` from file offset `base + start` on, where `base` is the start of the file
    /// system and `start` the end of its superblock and options.
    static base::Result<std::unique_ptr<DataWriter>> create(int fd, std::uint64_t base,
                                                            std::uint64_t start,
                                                            const Options& options);
    DataWriter(const DataWriter&) = delete;
    DataWriter& operator=(const DataWriter&) = delete;
    ~DataWriter();

    /// A new file. Its payload is complete after finish(). The expected size only saves work.
    base::Result<PayloadId> begin(std::uint64_t expected_size);
    base::Result<void> append(std::span<const std::uint8_t> data);
    /// Adds that many zeros; whole blocks of them cost nothing.
    base::Result<void> append_hole(std::uint64_t size);
    base::Result<void> end();

    /// Writes everything that is still in memory and stops the workers. No call may follow but
    /// those below.
    base::Result<void> finish();

    [[nodiscard]] std::uint64_t end_of_data() const noexcept; ///< from the start of the file system
    [[nodiscard]] const Payload& payload(PayloadId id) const noexcept { return payloads_[id]; }
    [[nodiscard]] std::size_t payload_count() const noexcept { return payloads_.size(); }
    /// Stored sizes of all blocks; bit 24 marks one that is not compressed, 0 a hole.
    [[nodiscard]] const GrowingArray<std::uint32_t>& block_sizes() const noexcept {
        return sizes_;
    }
    [[nodiscard]] const std::vector<FragmentBlock>& fragments() const noexcept {
        return fragments_;
    }

    struct Stats {
        std::uint64_t bytes_in = 0;
        std::uint64_t duplicate_files = 0;
        std::uint64_t duplicate_bytes = 0; ///< of their content
    };
    [[nodiscard]] Stats stats() const noexcept;

  private:
    using Block = BlockPipeline::Block;
    using Fingerprint = std::array<std::uint64_t, 2>; ///< first half of a SHA-256
    struct SmallFile {
        Fingerprint fingerprint;
        std::uint32_t size;
        std::uint32_t fragment;
        std::uint32_t offset;
    };

    DataWriter(int fd, std::uint64_t base, std::uint64_t start, const Options& options)
        : fd_(fd), base_(base), start_(start), block_size_(options.block_size),
          budget_(options.budget), position_(start) {}

    [[nodiscard]] base::Result<void> charge(std::uint64_t bytes) const {
        return budget_ == nullptr ? base::Result<void>() : budget_->take(bytes);
    }
    base::Result<void> submit_block();
    base::Result<void> leave_fragment();
    base::Result<void> append_bytes(std::span<const std::uint8_t> data);
    base::Result<void> end_small();
    void drop_block();
    [[nodiscard]] Fingerprint fingerprint(std::span<const std::uint8_t> bytes);
    base::Result<void> flush_fragment();
    base::Result<void> commit(Block& block);
    base::Result<void> commit_block(Block& block, Payload& payload);
    base::Result<void> commit_file_end(Payload& payload);
    base::Result<bool> same_bytes(std::uint64_t a, std::uint64_t b, std::uint64_t size);

    const int fd_;
    const std::uint64_t base_;
    const std::uint64_t start_;
    const std::uint32_t block_size_;
    Budget* const budget_;

    // The producer's.
    std::deque<Payload> payloads_; ///< addresses stay: workers fill them in
    Payload* current_ = nullptr;
    Block* block_ = nullptr;         ///< being filled with blocks of the current file
    std::uint32_t block_from_ = 0;   ///< where the current file begins in block_
    bool in_fragment_ = false;       ///< block_ is the open fragment block
    bool has_blocks_ = false;        ///< the current file has sent blocks away
    Block* fragment_ = nullptr;      ///< open, filled to its size
    std::uint32_t fragment_index_ = 0; ///< its number
    GrowingArray<SmallFile> small_;  ///< what the fragments hold
    IdTable small_table_;
    image::Sha256 sha_;
    Stats stats_;

    // Of commit(): one thread at a time.
    std::uint64_t position_; ///< next byte to write, from the start of the file system
    GrowingArray<std::uint32_t> sizes_;
    std::vector<FragmentBlock> fragments_;
    std::unordered_multimap<std::uint64_t, const Payload*> big_; ///< by hash of all blocks
    std::uint64_t file_hash_ = 0;
    std::uint64_t duplicate_files_ = 0;
    std::uint64_t duplicate_bytes_ = 0;
    bool in_file_ = false;

    std::unique_ptr<BlockPipeline> pipeline_; ///< last: its threads use all of the above
};

/// Bit 24 of a stored size: the block is not compressed.
inline constexpr std::uint32_t uncompressed_block = 1U << 24U;

} // namespace slipway::prefetch::convert
