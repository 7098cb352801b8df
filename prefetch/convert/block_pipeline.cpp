// SPDX-License-Identifier: Apache-2.0
#include "prefetch/convert/block_pipeline.hpp"

#include "squashfs/codec/encoder.hpp"

#include <cstring>
#include <pthread.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace slipway::prefetch::convert {

using base::Code;
using base::fail;
using base::Result;

struct BlockPipeline::Worker {
    std::unique_ptr<squashfs::codec::Encoder> encoder;
    std::unique_ptr<std::uint8_t[]> scratch;
    std::thread thread;
};

std::uint64_t quick_hash(std::span<const std::uint8_t> bytes) noexcept {
    return XXH3_64bits(bytes.data(), bytes.size());
}

namespace {

bool all_zero(const std::uint8_t* data, std::size_t size) noexcept {
    // Compares the block with itself, one byte on: most blocks end it within the first bytes.
    return size == 0 || (data[0] == 0 && std::memcmp(data, data + 1, size - 1) == 0);
}

} // namespace

BlockPipeline::BlockPipeline(Commit commit) : commit_(std::move(commit)) {}

Result<std::unique_ptr<BlockPipeline>>
BlockPipeline::create(squashfs::Compressor compressor, int level, std::uint32_t block_size,
                      unsigned threads, std::size_t buffers, Commit commit) {
    std::unique_ptr<BlockPipeline> out(new BlockPipeline(std::move(commit)));
    for (std::size_t i = 0; i < buffers; ++i) {
        auto block = std::make_unique<Block>();
        block->data = std::make_unique_for_overwrite<std::uint8_t[]>(block_size);
        out->free_.push_back(block.get());
        out->blocks_.push_back(std::move(block));
    }
    for (unsigned i = 0; i < threads; ++i) {
        auto worker = std::make_unique<Worker>();
        worker->encoder = squashfs::codec::make_encoder(compressor, level);
        worker->scratch = std::make_unique_for_overwrite<std::uint8_t[]>(block_size);
        if (!worker->encoder) {
            return fail(Code::internal, "no memory for a compressor");
        }
        Worker& here = *worker;
        out->workers_.push_back(std::move(worker));
        here.thread = std::thread([self = out.get(), &here] {
            pthread_setname_np(pthread_self(), "compress");
            self->work(here);
        });
    }
    return out;
}

BlockPipeline::~BlockPipeline() {
    {
        const std::lock_guard lock(mutex_);
        stop_ = true;
    }
    work_ready_.notify_all();
    for (auto& worker : workers_) {
        if (worker->thread.joinable()) {
            worker->thread.join();
        }
    }
    for (Block* block : order_) {
        if (!block->data) {
            delete block;
        }
    }
}

Result<BlockPipeline::Block*> BlockPipeline::take() {
    std::unique_lock lock(mutex_);
    progress_.wait(lock, [&] { return failed_ || !free_.empty(); });
    if (failed_) {
        return tl::unexpected(error_);
    }
    Block* block = free_.back();
    free_.pop_back();
    return block;
}

void BlockPipeline::give_back(Block* block) {
    const std::lock_guard lock(mutex_);
    release(block);
}

void BlockPipeline::release(Block* block) {
    if (!block->data) {
        delete block;
        return;
    }
    block->size = 0;
    block->compressed = block->zero = block->done = false;
    block->owner = nullptr;
    free_.push_back(block);
    progress_.notify_one();
}

void BlockPipeline::submit(Block* block) {
    {
        const std::lock_guard lock(mutex_);
        work_.push_back(block);
        order_.push_back(block);
    }
    work_ready_.notify_one();
}

Result<void> BlockPipeline::submit_mark(Kind kind, std::uint64_t count, void* owner) {
    auto block = std::make_unique<Block>();
    block->kind = kind;
    block->count = count;
    block->owner = owner;
    block->done = true;
    std::unique_lock lock(mutex_);
    order_.push_back(block.release());
    commit_ready(lock);
    if (failed_) {
        return tl::unexpected(error_);
    }
    return {};
}

Result<void> BlockPipeline::drain() {
    std::unique_lock lock(mutex_);
    progress_.wait(lock, [&] { return failed_ || (order_.empty() && !committing_); });
    if (failed_) {
        return tl::unexpected(error_);
    }
    return {};
}

void BlockPipeline::work(Worker& worker) {
    std::unique_lock lock(mutex_);
    for (;;) {
        work_ready_.wait(lock, [&] { return stop_ || !work_.empty(); });
        if (stop_) {
            return;
        }
        Block* block = work_.front();
        work_.pop_front();
        lock.unlock();
        process(worker, *block);
        lock.lock();
        block->done = true;
        commit_ready(lock);
    }
}

void BlockPipeline::process(Worker& worker, Block& block) const {
    if (block.kind == Kind::data && all_zero(block.data.get(), block.size)) {
        block.zero = true;
        return;
    }
    // A block that does not shrink is stored as it is: one byte less than the size must do.
    const std::size_t stored = worker.encoder->compress({block.data.get(), block.size},
                                                      {worker.scratch.get(), block.size - 1});
    if (stored != 0) {
        std::memcpy(block.data.get(), worker.scratch.get(), stored);
        block.size = static_cast<std::uint32_t>(stored);
        block.compressed = true;
    }
    if (block.kind == Kind::data) {
        block.hash = quick_hash({block.data.get(), block.size});
    }
}

/// Called with the lock held; lets go of it while a block is written.
void BlockPipeline::commit_ready(std::unique_lock<std::mutex>& lock) {
    if (committing_) {
        return; // that thread looks again before it stops
    }
    committing_ = true;
    while (!order_.empty() && order_.front()->done && !failed_ && !stop_) {
        Block* block = order_.front();
        order_.pop_front();
        lock.unlock();
        auto result = commit_(*block);
        lock.lock();
        release(block);
        if (!result) {
            failed_ = true;
            error_ = std::move(result).error();
        }
    }
    committing_ = false;
    if (failed_ || order_.empty()) {
        progress_.notify_all();
    }
}

} // namespace slipway::prefetch::convert
