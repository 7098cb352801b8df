// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.hpp"
#include "squashfs/compressors.hpp"

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

namespace slipway::prefetch::convert {

/// Compresses blocks in worker threads and hands them on in the order of submission.
///
/// One producer takes empty blocks, fills and submits them. Whichever thread finishes the block
/// whose turn it is calls `commit` for it and for all finished ones behind it: one call at a time,
/// in order, from changing threads. take() waits while all buffers are in use, which bounds memory.
class BlockPipeline {
  public:
    enum class Kind : std::uint8_t {
        data,     ///< a block of a file
        fragment, ///< a block shared by small files
        holes,    ///< `count` whole blocks of zeros; no buffer
        file_end, ///< nothing; the file of the blocks before is complete
    };
    struct Block {
        std::unique_ptr<std::uint8_t[]> data;
        std::uint32_t size = 0; ///< filled bytes; after the worker: bytes to store
        std::uint64_t count = 0;
        std::uint64_t hash = 0; ///< of the bytes to store
        Kind kind = Kind::data;
        bool compressed = false;
        bool zero = false; ///< nothing but zeros: a hole
        bool done = false;
        void* owner = nullptr; ///< the producer's
    };
    using Commit = std::function<base::Result<void>(Block&)>;

    static base::Result<std::unique_ptr<BlockPipeline>>
    create(squashfs::Compressor compressor, int level, std::uint32_t block_size, unsigned threads,
           std::size_t buffers, Commit commit);
    BlockPipeline(const BlockPipeline&) = delete;
    BlockPipeline& operator=(const BlockPipeline&) = delete;
    /// Stops at once; what is not committed is lost.
    ~BlockPipeline();

    /// An empty block; waits for one. Fails with the error of a commit that failed.
    base::Result<Block*> take();
    /// Gives a taken block back unused.
    void give_back(Block* block);
    /// Queues a taken block of kind data or fragment.
    void submit(Block* block);
    /// Queues holes or file_end.
    base::Result<void> submit_mark(Kind kind, std::uint64_t count, void* owner);
    /// Waits until everything submitted is committed.
    base::Result<void> drain();

  private:
    struct Worker;
    explicit BlockPipeline(Commit commit);

    void work(Worker& worker);
    void process(Worker& worker, Block& block) const;
    void commit_ready(std::unique_lock<std::mutex>& lock);
    void release(Block* block);

    const Commit commit_;
    std::mutex mutex_;
    std::condition_variable work_ready_;
    std::condition_variable progress_; ///< a buffer is free, or all is committed, or it failed
    std::deque<std::unique_ptr<Block>> blocks_; ///< all with buffers
    std::vector<Block*> free_;
    std::deque<Block*> work_;
    std::deque<Block*> order_; ///< submitted and not committed, oldest first
    bool committing_ = false;
    bool stop_ = false;
    bool failed_ = false;
    base::Error error_;
    std::vector<std::unique_ptr<Worker>> workers_;
};

/// 64-bit hash of bytes, good but not proof against an enemy: equal hashes are always verified.
std::uint64_t quick_hash(std::span<const std::uint8_t> bytes) noexcept;

} // namespace slipway::prefetch::convert
