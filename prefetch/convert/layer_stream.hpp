// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/byte_source.hpp"
#include "image/digest.hpp"
#include "prefetch/convert/bounded_queue.hpp"
#include "prefetch/convert/inflate.hpp"
#include "prefetch/convert/tar_reader.hpp"

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

namespace slipway::prefetch::convert {

/// One layer on its way from a compressed blob to tar bytes, in three threads of its own: one reads
/// and hashes the blob, one inflates, one hashes the tar bytes. Starts at once and runs ahead until
/// its buffers are full, so a layer can be on the way before its turn comes.
class LayerStream final : public TarInput {
  public:
    using Open = std::function<base::Result<std::unique_ptr<base::ByteSource>>()>;
    struct Layer {
        image::Digest blob;
        std::uint64_t blob_size = 0;
        image::Digest diff_id; ///< of the tar bytes
        Open open;
    };
    struct Limits {
        std::uint64_t bytes = UINT64_MAX; ///< of tar
        /// Tar bytes per blob byte, looked at once more than 1 GiB has come out.
        std::uint64_t ratio = 1000;
        std::size_t buffer_bytes = 4U << 20U; ///< tar bytes held between threads
        /// Tar bytes of all layers so far, which `bytes` bounds as well; none: only this layer's.
        std::atomic<std::uint64_t>* total = nullptr;
        WindowPass windows;
    };
    /// Called from the reading thread with the number of blob bytes that just came.
    using OnBytes = std::function<void(std::uint64_t)>;

    LayerStream(Layer layer, Limits limits, OnBytes on_bytes);
    LayerStream(const LayerStream&) = delete;
    LayerStream& operator=(const LayerStream&) = delete;
    ~LayerStream() override; ///< cancels

    base::Result<std::span<const std::uint8_t>> next() override;

    /// After next() gave the end: blob size, blob digest and diff id are what they must be.
    /// Code::digest_mismatch when not.
    base::Result<void> finish();

    /// The better explanation of an error in the content: when the blob is not the one that was
    /// asked for, that is the cause. Reads the rest of the blob to find out.
    base::Error explain(base::Error error);

    /// Stops all threads soon; from any thread.
    void cancel() noexcept;

    [[nodiscard]] std::uint64_t blob_bytes() const noexcept { return blob_bytes_; }
    [[nodiscard]] std::uint64_t tar_bytes() const noexcept { return tar_bytes_; }
    [[nodiscard]] const char* packing() const noexcept; ///< "gzip"; "" before the first bytes

  private:
    struct Chunk {
        std::unique_ptr<std::uint8_t[]> data;
        std::size_t size = 0;
    };
    /// Reuses chunks: fresh 256 KiB from the kernel each time costs as much as inflating them.
    class ChunkPool {
      public:
        std::shared_ptr<Chunk> take();

      private:
        struct Shelf {
            std::mutex mutex;
            std::vector<std::unique_ptr<Chunk>> chunks;
        };
        std::shared_ptr<Shelf> shelf_ = std::make_shared<Shelf>();
    };
    using ChunkPtr = std::shared_ptr<Chunk>;

    void start(const char* name, void (LayerStream::*work)());
    void stop() noexcept;
    void read_blob();
    base::Result<void> read_all();
    void inflate();
    base::Result<void> inflate_all();
    base::Result<bool> inflate_chunk(Inflater& inflater, std::span<const std::uint8_t>& in,
                                     ChunkPtr& out);
    base::Result<bool> hand_on(ChunkPtr& out);
    void hash_tar();
    void note_error(base::Error error);

    const Layer layer_;
    const Limits limits_;
    const OnBytes on_bytes_;
    ChunkPool pool_;
    BoundedQueue<ChunkPtr> packed_;
    BoundedQueue<ChunkPtr> to_hash_;
    BoundedQueue<ChunkPtr> to_reader_;
    ChunkPtr current_; ///< what next() gave last

    std::mutex mutex_;
    std::unique_ptr<base::ByteSource> source_; ///< guarded: cancel() comes from anywhere
    bool cancelled_ = false;                   ///< guarded
    bool failed_ = false;                      ///< guarded; the first error counts
    base::Error error_;                        ///< guarded
    base::Error blob_error_;                   ///< of the reading thread, valid after it ended
    bool blob_failed_ = false;
    image::Digest diff_id_; ///< what came, valid after the hashing thread ended

    std::atomic<std::uint64_t> blob_bytes_{0};
    std::atomic<std::uint64_t> tar_bytes_{0};
    std::atomic<int> packing_{-1};
    std::atomic<bool> only_blob_{false}; ///< explain(): nobody wants tar bytes any more
    std::vector<std::thread> threads_;
};

} // namespace slipway::prefetch::convert
