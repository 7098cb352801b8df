// SPDX-License-Identifier: Apache-2.0
#include "prefetch/convert/data_writer.hpp"

#include "base/fd.hpp"
#include "base/format.hpp"
#include "prefetch/convert/file_errors.hpp"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>

namespace slipway::prefetch::convert {

using base::Code;
using base::fail;
using base::Result;

namespace {

constexpr std::array<std::uint8_t, 4096> zeros{};

std::uint64_t mixed(std::uint64_t hash, std::uint64_t more) noexcept {
    return (std::rotl(hash, 23) ^ more) * 0x9e3779b97f4a7c15ULL;
}

} // namespace

Result<void> write_image(int fd, std::span<const std::uint8_t> data, std::uint64_t offset) {
    auto written = base::write_all_at(fd, data, offset);
    if (!written) {
        base::Error error = std::move(written).error();
        if (error.code == Code::out_of_space) {
            error.hint = "free some space or choose another place for the image";
        }
        return tl::unexpected(std::move(error).context("writing the image"));
    }
    return {};
}

Result<std::unique_ptr<DataWriter>> DataWriter::create(int fd, std::uint64_t base,
                                                       std::uint64_t start,
                                                       const Options& options) {
    std::unique_ptr<DataWriter> out(new DataWriter(fd, base, start, options));
    const unsigned threads = std::max(1U, options.threads);
    // One is being filled, one is the open fragment, one moves between the two.
    const std::size_t buffers = std::max<std::size_t>(options.buffers, threads + 3);
    TRY_ASSIGN(out->pipeline_,
               BlockPipeline::create(options.compressor, options.level, options.block_size,
                                     threads, buffers,
                                     [self = out.get()](Block& block) { return self->commit(block); }));
    return out;
}

DataWriter::~DataWriter() {
    pipeline_.reset(); // its threads use the other members
}

Result<PayloadId> DataWriter::begin(std::uint64_t expected_size) {
    if (current_ != nullptr) {
        return fail(Code::internal, "a file of the image was begun inside another");
    }
    if (payloads_.size() >= Payload::no_fragment) {
        return fail(Code::limit_exceeded, "the image has too many files");
    }
    if (fragment_ == nullptr) {
        TRY_ASSIGN(fragment_, pipeline_->take());
        fragment_->kind = BlockPipeline::Kind::fragment;
    }
    TRY(charge(cost::payload));
    payloads_.emplace_back();
    current_ = &payloads_.back();
    has_blocks_ = false;
    block_ = fragment_;
    block_from_ = fragment_->size;
    in_fragment_ = true;
    if (expected_size > block_size_ - block_from_ || expected_size == block_size_) {
        TRY(leave_fragment());
    }
    return static_cast<PayloadId>(payloads_.size() - 1);
}

/// The current file does not fit into the open fragment block: it gets a block of its own.
Result<void> DataWriter::leave_fragment() {
    TRY_ASSIGN(Block* own, pipeline_->take());
    own->kind = BlockPipeline::Kind::data;
    own->size = fragment_->size - block_from_;
    std::memcpy(own->data.get(), fragment_->data.get() + block_from_, own->size);
    fragment_->size = block_from_;
    block_ = own;
    block_from_ = 0;
    in_fragment_ = false;
    return {};
}

void DataWriter::drop_block() {
    if (in_fragment_) {
        fragment_->size = block_from_;
    } else if (block_ != nullptr) {
        pipeline_->give_back(block_);
    }
    block_ = nullptr;
    in_fragment_ = false;
}

Result<void> DataWriter::append(std::span<const std::uint8_t> data) {
    current_->size += data.size();
    stats_.bytes_in += data.size();
    return append_bytes(data);
}

Result<void> DataWriter::append_bytes(std::span<const std::uint8_t> data) {
    while (!data.empty()) {
        if (block_ == nullptr) {
            TRY_ASSIGN(block_, pipeline_->take());
            block_->kind = BlockPipeline::Kind::data;
            block_from_ = 0;
        }
        if (in_fragment_ && data.size() > block_size_ - block_->size) {
            TRY(leave_fragment());
        }
        const std::size_t part = std::min<std::size_t>(data.size(), block_size_ - block_->size);
        std::memcpy(block_->data.get() + block_->size, data.data(), part);
        block_->size += static_cast<std::uint32_t>(part);
        data = data.subspan(part);
        if (!in_fragment_ && block_->size == block_size_) {
            TRY(submit_block());
        } else if (in_fragment_ && block_->size - block_from_ == block_size_) {
            TRY(leave_fragment()); // a full block that began an empty fragment
            TRY(submit_block());
        }
    }
    return {};
}

Result<void> DataWriter::submit_block() {
    TRY(charge(cost::block));
    block_->owner = current_;
    pipeline_->submit(block_);
    block_ = nullptr;
    has_blocks_ = true;
    return {};
}

Result<void> DataWriter::append_hole(std::uint64_t size) {
    current_->size += size;
    while (size > 0) {
        const std::uint32_t filled = block_ == nullptr ? 0 : block_->size - block_from_;
        if (filled == 0 && size >= block_size_) {
            drop_block();
            TRY(charge(cost::block * (size / block_size_)));
            TRY(pipeline_->submit_mark(BlockPipeline::Kind::holes, size / block_size_, current_));
            has_blocks_ = true;
            size %= block_size_;
            continue;
        }
        const auto part = static_cast<std::size_t>(
            std::min<std::uint64_t>({size, zeros.size(), block_size_ - filled}));
        TRY(append_bytes(std::span(zeros).first(part)));
        size -= part;
    }
    return {};
}

Result<void> DataWriter::end() {
    if (!has_blocks_) {
        TRY(end_small());
    } else {
        if (block_ != nullptr && block_->size > 0) {
            TRY(submit_block());
        } else {
            drop_block();
        }
        TRY(pipeline_->submit_mark(BlockPipeline::Kind::file_end, 0, current_));
    }
    current_ = nullptr;
    block_ = nullptr;
    in_fragment_ = false;
    return {};
}

DataWriter::Fingerprint DataWriter::fingerprint(std::span<const std::uint8_t> bytes) {
    sha_.update(bytes);
    const image::Digest digest = sha_.finish();
    const std::string_view hex = digest.hex();
    Fingerprint out{};
    if (hex.size() == 64) {
        std::from_chars(hex.data(), hex.data() + 16, out[0], 16);
        std::from_chars(hex.data() + 16, hex.data() + 32, out[1], 16);
    }
    return out;
}

/// A file of less than a block: part of a fragment block, once for equal contents.
Result<void> DataWriter::end_small() {
    const std::uint32_t size = block_->size - block_from_;
    if (size == 0) {
        drop_block();
        return {};
    }
    const Fingerprint print = fingerprint({block_->data.get() + block_from_, size});
    // Without a hash (the crypto library failed) nothing is taken for a duplicate.
    const bool hashed = print[0] != 0 || print[1] != 0;
    const auto known = !hashed ? IdTable::none : small_table_.find(print[0], [&](std::uint32_t id) {
        return small_[id].fingerprint == print && small_[id].size == size;
    });
    if (known != IdTable::none) {
        current_->fragment = small_[known].fragment;
        current_->fragment_offset = small_[known].offset;
        ++stats_.duplicate_files;
        stats_.duplicate_bytes += size;
        drop_block();
        return {};
    }
    if (!in_fragment_) {
        TRY(flush_fragment());
        fragment_ = block_;
        fragment_->kind = BlockPipeline::Kind::fragment;
    }
    current_->fragment = fragment_index_;
    current_->fragment_offset = block_from_;
    if (hashed) {
        const auto id = static_cast<std::uint32_t>(small_.size());
        small_.push_back({print, size, current_->fragment, current_->fragment_offset});
        small_table_.insert(print[0], id,
                            [&](std::uint32_t other) { return small_[other].fingerprint[0]; });
    }
    return {};
}

Result<void> DataWriter::flush_fragment() {
    if (fragment_ == nullptr) {
        return {};
    }
    if (fragment_->size == 0) {
        pipeline_->give_back(fragment_);
    } else {
        pipeline_->submit(fragment_);
        ++fragment_index_;
    }
    fragment_ = nullptr;
    return {};
}

Result<void> DataWriter::finish() {
    TRY(flush_fragment());
    TRY(pipeline_->drain());
    pipeline_.reset();
    small_ = {};
    small_table_ = {};
    big_.clear();
    return {};
}

std::uint64_t DataWriter::end_of_data() const noexcept {
    return position_;
}

DataWriter::Stats DataWriter::stats() const noexcept {
    Stats out = stats_;
    out.duplicate_files += duplicate_files_;
    out.duplicate_bytes += duplicate_bytes_;
    return out;
}

Result<void> DataWriter::commit(Block& block) {
    if (block.kind == BlockPipeline::Kind::fragment) {
        TRY(write_image(fd_, {block.data.get(), block.size}, base_ + position_));
        fragments_.push_back(
            {position_, block.size | (block.compressed ? 0U : uncompressed_block)});
        position_ += block.size;
        return {};
    }
    auto& payload = *static_cast<Payload*>(block.owner);
    if (block.kind == BlockPipeline::Kind::file_end) {
        return commit_file_end(payload);
    }
    return commit_block(block, payload);
}

Result<void> DataWriter::commit_block(Block& block, Payload& payload) {
    if (!in_file_) {
        in_file_ = true;
        file_hash_ = 0;
        payload.start = position_;
        payload.first_block = static_cast<std::uint32_t>(sizes_.size());
    }
    const std::uint64_t holes = block.kind == BlockPipeline::Kind::holes ? block.count
                                : block.zero                             ? 1
                                                                         : 0;
    if (sizes_.size() + std::max<std::uint64_t>(holes, 1) > UINT32_MAX) {
        return fail(Code::limit_exceeded, "the image has too many blocks",
                    "choose a larger block size");
    }
    if (holes > 0) {
        sizes_.append(static_cast<std::size_t>(holes), 0);
        file_hash_ = mixed(file_hash_, holes);
        payload.sparse = true;
        return {};
    }
    TRY(write_image(fd_, {block.data.get(), block.size}, base_ + position_));
    sizes_.push_back(block.size | (block.compressed ? 0U : uncompressed_block));
    file_hash_ = mixed(file_hash_, block.hash);
    position_ += block.size;
    return {};
}

/// The file is complete: when an equal one is already there, the blocks just written are given up.
Result<void> DataWriter::commit_file_end(Payload& payload) {
    in_file_ = false;
    payload.block_count = static_cast<std::uint32_t>(sizes_.size()) - payload.first_block;
    if (position_ == payload.start) {
        payload.start = 0; // nothing but holes
        return {};
    }
    const auto [first, last] = big_.equal_range(file_hash_);
    for (auto it = first; it != last; ++it) {
        const Payload& other = *it->second;
        const std::uint32_t* sizes = sizes_.data();
        if (other.block_count != payload.block_count ||
            !std::equal(sizes + other.first_block, sizes + other.first_block + other.block_count,
                        sizes + payload.first_block)) {
            continue;
        }
        TRY_ASSIGN(const bool same,
                   same_bytes(other.start, payload.start, position_ - payload.start));
        if (same) {
            position_ = payload.start;
            sizes_.truncate(payload.first_block);
            payload.start = other.start;
            payload.first_block = other.first_block;
            ++duplicate_files_;
            duplicate_bytes_ += other.size;
            return {};
        }
    }
    big_.emplace(file_hash_, &payload);
    return {};
}

Result<bool> DataWriter::same_bytes(std::uint64_t a, std::uint64_t b, std::uint64_t size) {
    constexpr std::size_t chunk = 64U << 10U;
    std::vector<std::uint8_t> left(chunk);
    std::vector<std::uint8_t> right(chunk);
    while (size > 0) {
        const auto part = static_cast<std::size_t>(std::min<std::uint64_t>(size, chunk));
        TRY(base::read_exact_at(fd_, std::span(left).first(part), base_ + a));
        TRY(base::read_exact_at(fd_, std::span(right).first(part), base_ + b));
        if (std::memcmp(left.data(), right.data(), part) != 0) {
            return false;
        }
        a += part;
        b += part;
        size -= part;
    }
    return true;
}

} // namespace slipway::prefetch::convert
