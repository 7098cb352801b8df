// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "image/digest.hpp"
#include "prefetch/convert/convert.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>

#include <zlib.h>

namespace slipway::test {

inline std::string gzipped(const std::string& text) {
    z_stream stream{};
    deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
    std::string out(deflateBound(&stream, text.size()) + 64, '\0');
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
    stream.avail_in = static_cast<uInt>(text.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    deflate(&stream, Z_FINISH);
    out.resize(stream.total_out);
    deflateEnd(&stream);
    return out;
}

/// Bytes from memory, in pieces; can fail or hang after some of them.
class MemorySource : public base::ByteSource {
  public:
    std::string bytes;
    std::size_t piece = 10'000;
    std::size_t fail_at = SIZE_MAX;
    std::size_t hang_at = SIZE_MAX;

    base::Result<std::size_t> read(std::span<std::uint8_t> buffer) override {
        std::unique_lock lock(mutex_);
        if (at_ >= hang_at) {
            wake_.wait(lock, [&] { return cancelled_; });
        }
        if (cancelled_) {
            return base::fail(base::Code::interrupted, "cancelled");
        }
        if (at_ >= fail_at) {
            return base::fail(base::Code::source_unreachable, "the network is gone");
        }
        const std::size_t size = std::min({buffer.size(), piece, bytes.size() - at_});
        std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(at_), size, buffer.begin());
        at_ += size;
        return size;
    }
    void cancel() noexcept override {
        const std::lock_guard lock(mutex_);
        cancelled_ = true;
        wake_.notify_all();
    }

  private:
    std::mutex mutex_;
    std::condition_variable wake_;
    bool cancelled_ = false;
    std::size_t at_ = 0;
};

inline image::LayerInput memory_layer(const std::string& tar, std::string blob = {}) {
    image::LayerInput layer;
    if (blob.empty()) {
        blob = gzipped(tar);
    }
    layer.blob.media_type = image::media::oci_layer_gzip;
    layer.blob.digest = image::sha256(blob);
    layer.blob.size = blob.size();
    layer.diff_id = image::sha256(tar);
    layer.open = [blob]() -> base::Result<std::unique_ptr<base::ByteSource>> {
        auto source = std::make_unique<MemorySource>();
        source->bytes = blob;
        return source;
    };
    return layer;
}

} // namespace slipway::test
