// SPDX-License-Identifier: Apache-2.0
#include "prefetch/convert/layer_stream.hpp"

#include "base/format.hpp"

#include <algorithm>

#include <pthread.h>

namespace slipway::prefetch::convert {

using base::Code;
using base::Error;
using base::fail;
using base::Result;

namespace {

constexpr std::size_t chunk_size = 256U << 10U;
constexpr std::size_t packed_chunks = 4;
constexpr std::uint64_t ratio_grace = 1ULL << 30U;

} // namespace

std::shared_ptr<LayerStream::Chunk> LayerStream::ChunkPool::take() {
    std::unique_ptr<Chunk> chunk;
    {
        const std::lock_guard lock(shelf_->mutex);
        if (!shelf_->chunks.empty()) {
            chunk = std::move(shelf_->chunks.back());
            shelf_->chunks.pop_back();
        }
    }
    if (!chunk) {
        chunk = std::make_unique<Chunk>();
        chunk->data = std::make_unique_for_overwrite<std::uint8_t[]>(chunk_size);
    }
    chunk->size = 0;
    return {chunk.release(), [shelf = shelf_](Chunk* back) {
                std::unique_ptr<Chunk> owned(back);
                const std::lock_guard lock(shelf->mutex);
                shelf->chunks.push_back(std::move(owned));
            }};
}

LayerStream::LayerStream(Layer layer, Limits limits, OnBytes on_bytes)
    : layer_(std::move(layer)), limits_(limits), on_bytes_(std::move(on_bytes)),
      packed_(packed_chunks), to_hash_(packed_chunks),
      to_reader_(std::max<std::size_t>(2, limits.buffer_bytes / chunk_size)) {
    try {
        start("layer-read", &LayerStream::read_blob);
        start("layer-inflate", &LayerStream::inflate);
        start("layer-hash", &LayerStream::hash_tar);
    } catch (...) { // the system allows no more threads: those that run must end first
        stop();
        throw;
    }
}

void LayerStream::start(const char* name, void (LayerStream::*work)()) {
    threads_.emplace_back([this, name, work] {
        // It names itself: the name of another thread is a file, and this process may open none.
        pthread_setname_np(pthread_self(), name);
        (this->*work)();
    });
}

LayerStream::~LayerStream() {
    stop();
}

void LayerStream::stop() noexcept {
    cancel();
    for (auto& thread : threads_) {
        if (thread.joinable()) {
            thread.join();
        }
    }
}

void LayerStream::cancel() noexcept {
    {
        const std::lock_guard lock(mutex_);
        cancelled_ = true;
        if (source_) {
            source_->cancel();
        }
    }
    packed_.close();
    to_hash_.close();
    to_reader_.close();
}

void LayerStream::note_error(Error error) {
    const std::lock_guard lock(mutex_);
    if (!failed_) {
        failed_ = true;
        error_ = std::move(error);
    }
}

void LayerStream::read_blob() {
    auto result = read_all();
    if (!result) {
        blob_failed_ = true;
        blob_error_ = std::move(result).error();
        note_error(blob_error_);
    }
    packed_.end();
}

/// Reads the whole blob, not one byte more, and checks its size and digest.
Result<void> LayerStream::read_all() {
    TRY_ASSIGN(auto opened, layer_.open());
    base::ByteSource* source = opened.get();
    {
        const std::lock_guard lock(mutex_);
        if (cancelled_) {
            return fail(Code::interrupted, "the conversion was stopped");
        }
        source_ = std::move(opened);
    }
    image::Hasher hasher(layer_.blob);
    std::uint64_t total = 0;
    for (;;) {
        ChunkPtr chunk = pool_.take();
        while (chunk->size < chunk_size) {
            TRY_ASSIGN(const std::size_t got,
                       source->read({chunk->data.get() + chunk->size, chunk_size - chunk->size}));
            if (got == 0) {
                break;
            }
            chunk->size += got;
            total += got;
            if (total > layer_.blob_size) {
                return fail(Code::digest_mismatch,
                            fmt::format("the blob is longer than the {} bytes that the manifest "
                                        "says",
                                        layer_.blob_size),
                            "the registry or mirror serves wrong data; try again or use another");
            }
        }
        if (chunk->size == 0) {
            break;
        }
        hasher.update(std::span<const std::uint8_t>(chunk->data.get(), chunk->size));
        blob_bytes_ = total;
        if (on_bytes_) {
            on_bytes_(chunk->size);
        }
        const bool last = chunk->size < chunk_size;
        if (!packed_.push(std::move(chunk))) {
            return fail(Code::interrupted, "the conversion was stopped");
        }
        if (last) {
            break;
        }
    }
    if (total != layer_.blob_size) {
        return fail(Code::digest_mismatch,
                    fmt::format("the blob ends after {} of {} bytes", total, layer_.blob_size),
                    "the transfer was cut off; try again");
    }
    return image::require_digest(hasher.finish(), layer_.blob, "the layer blob");
}

void LayerStream::inflate() {
    auto result = inflate_all();
    if (!result) {
        note_error(std::move(result).error());
    }
    to_hash_.end();
    to_reader_.end();
    // The reading thread hashes on to the end, so that a damaged blob is known from a wrong one.
    while (packed_.pop()) {
    }
}

Result<void> LayerStream::inflate_all() {
    std::unique_ptr<Inflater> inflater;
    ChunkPtr out = pool_.take();
    while (auto packed = packed_.pop()) {
        if (only_blob_) {
            continue;
        }
        std::span<const std::uint8_t> in((*packed)->data.get(), (*packed)->size);
        if (!inflater) {
            TRY_ASSIGN(const Packing packing, sniff_packing(in));
            packing_ = static_cast<int>(packing);
            inflater = make_inflater(packing, limits_.windows);
        }
        for (bool more = true; more;) {
            TRY_ASSIGN(more, inflate_chunk(*inflater, in, out));
        }
    }
    if (only_blob_) {
        return {};
    }
    {
        // A blob that was cut off is the cause; that the data in it end early only follows.
        const std::lock_guard lock(mutex_);
        if (failed_ || cancelled_) {
            return {};
        }
    }
    if (inflater) {
        TRY(inflater->finish());
    }
    TRY(hand_on(out));
    return {};
}

/// One step of the inflater; false when it needs the next chunk of the blob.
Result<bool> LayerStream::inflate_chunk(Inflater& inflater, std::span<const std::uint8_t>& in,
                                        ChunkPtr& out) {
    TRY_ASSIGN(const auto step,
               inflater.step(in, {out->data.get() + out->size, chunk_size - out->size}));
    in = in.subspan(step.consumed);
    out->size += step.produced;
    if (out->size == chunk_size) {
        return hand_on(out);
    }
    return step.consumed > 0 || step.produced > 0;
}

/// Gives a filled chunk to both takers and brings an empty one; false when they are gone.
Result<bool> LayerStream::hand_on(ChunkPtr& out) {
    if (out->size == 0) {
        return true;
    }
    const std::uint64_t total = tar_bytes_ += out->size;
    const std::uint64_t all = limits_.total == nullptr ? total : *limits_.total += out->size;
    if (all > limits_.bytes) {
        return fail(Code::limit_exceeded,
                    fmt::format("the unpacked layers are larger than the limit of {} bytes",
                                limits_.bytes),
                    "ask for a higher limit (limits.image_size)");
    }
    if (total > ratio_grace && total / limits_.ratio > layer_.blob_size) {
        return fail(Code::limit_exceeded,
                    fmt::format("the layer blows up to more than {} times its size", limits_.ratio),
                    "this looks like a decompression bomb");
    }
    ChunkPtr full = std::move(out);
    out = pool_.take();
    const bool hashed = to_hash_.push(full);
    return to_reader_.push(std::move(full)) && hashed;
}

void LayerStream::hash_tar() {
    image::Hasher hasher(layer_.diff_id);
    while (auto chunk = to_hash_.pop()) {
        hasher.update(std::span<const std::uint8_t>((*chunk)->data.get(), (*chunk)->size));
    }
    diff_id_ = hasher.finish();
}

Result<std::span<const std::uint8_t>> LayerStream::next() {
    auto chunk = to_reader_.pop();
    if (!chunk) {
        current_.reset();
        const std::lock_guard lock(mutex_);
        if (failed_) {
            return tl::unexpected(error_);
        }
        if (cancelled_) {
            return fail(Code::interrupted, "the conversion was stopped");
        }
        return std::span<const std::uint8_t>{};
    }
    current_ = std::move(*chunk);
    return std::span<const std::uint8_t>(current_->data.get(), current_->size);
}

Result<void> LayerStream::finish() {
    for (auto& thread : threads_) {
        thread.join();
    }
    threads_.clear();
    if (failed_) {
        return tl::unexpected(error_);
    }
    return image::require_digest(diff_id_, layer_.diff_id, "the unpacked layer (diff id)");
}

Error LayerStream::explain(Error error) {
    if (error.code != Code::layer_invalid && error.code != Code::unsupported) {
        return error;
    }
    only_blob_ = true;
    to_hash_.close();
    to_reader_.close();
    for (auto& thread : threads_) {
        thread.join();
    }
    threads_.clear();
    return blob_failed_ && blob_error_.code != Code::interrupted ? blob_error_ : error;
}

const char* LayerStream::packing() const noexcept {
    switch (packing_.load()) {
    case static_cast<int>(Packing::plain):
        return "plain";
    case static_cast<int>(Packing::gzip):
        return "gzip";
    case static_cast<int>(Packing::zstd):
        return "zstd";
    default:
        return "";
    }
}

} // namespace slipway::prefetch::convert
