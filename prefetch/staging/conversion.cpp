// SPDX-License-Identifier: Apache-2.0
#include "prefetch/staging/conversion.hpp"

#include "base/barrier.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace slipway::prefetch::staging {
namespace {

/// What the converter reports, added up from its threads.
struct Counter : convert::ProgressSink {
    std::atomic<std::uint64_t> read{0};
    std::atomic<bool> tables{false};
    void layer_bytes(std::size_t, std::uint64_t bytes) noexcept override {
        read.fetch_add(bytes, std::memory_order_relaxed);
    }
    void phase(convert::ConvertPhase phase) noexcept override {
        tables = phase == convert::ConvertPhase::tables;
    }
};

/// Downloading and converting run at the same time: as long as bytes are missing, the download is
/// what people wait for.
stage::StageProgress progress_of(const sources::LayeredImage& image, const Counter& counter) {
    const auto total = image.counters ? image.counters->total.load() : 0;
    const auto got = image.counters ? image.counters->done.load() : 0;
    stage::StageProgress progress;
    const bool downloading = image.counters && got < total;
    progress.phase = downloading ? stage::Phase::downloading : stage::Phase::converting;
    if (downloading) {
        progress.total = total;
        progress.done = got;
        return progress;
    }
    // A layer that is there twice is fetched once and converted twice.
    for (const auto& layer : image.layers) {
        progress.total += layer.blob.size;
    }
    progress.done = std::min(counter.read.load(), progress.total);
    return progress;
}

/// Reports progress to the sink, from a thread of its own, until it goes out of scope.
class Ticker {
  public:
    Ticker(const sources::LayeredImage& image, const Counter& counter,
           const stage::StageSink& sink)
        : thread_([this, &image, &counter, &sink] {
              std::unique_lock lock(mutex_);
              while (!wake_.wait_for(lock, std::chrono::milliseconds(200), [&] { return done_; })) {
                  // A report that cannot be made is left out.
                  (void)base::completes([&] { sink(progress_of(image, counter)); });
              }
          }) {}
    ~Ticker() {
        {
            const std::lock_guard lock(mutex_);
            done_ = true;
        }
        wake_.notify_all();
        thread_.join();
    }
    Ticker(const Ticker&) = delete;
    Ticker& operator=(const Ticker&) = delete;

  private:
    std::mutex mutex_;
    std::condition_variable wake_;
    bool done_ = false;
    std::thread thread_;
};

convert::ConvertOptions options_for(const config::Config& config, std::stop_token stop) {
    convert::ConvertOptions options;
    options.compressor = config.convert.compression;
    if (config.convert.level != 0) {
        options.level = static_cast<int>(config.convert.level);
    }
    options.block_size = static_cast<std::uint32_t>(config.convert.block_size);
    options.threads = config.convert.threads;
    options.memory = config.convert.memory;
    options.limits.layers = config.limits.layers;
    options.limits.entries = config.limits.entries;
    options.limits.image_bytes = config.limits.image_size;
    options.stop = std::move(stop);
    options.digest_output = true;
    return options;
}

} // namespace

std::uint64_t bytes_needed(const sources::ResolvedImage& image) {
    if (const auto* file = std::get_if<sources::FinishedFile>(&image.content)) {
        return file->size;
    }
    std::uint64_t layers = 0;
    for (const auto& layer : std::get<sources::LayeredImage>(image.content).layers) {
        layers += layer.blob.size;
    }
    constexpr std::uint64_t rest = 1U << 20U; // tables, metadata and the SIF's own parts
    return 2 * layers + rest;
}

base::Error with_advice(base::Error error) {
    if (!error.hint.empty()) {
        return error;
    }
    switch (error.code) {
    case base::Code::layer_invalid:
    case base::Code::image_corrupt:
    case base::Code::digest_mismatch:
        error.hint =
            "the image itself is damaged or was made wrongly: have it built or pushed again";
        break;
    case base::Code::media_type:
        error.hint = "only container images with tar layers can be run: look at it with "
                     "`skopeo inspect --raw`";
        break;
    case base::Code::out_of_space:
        error.hint = "free space in the store or name a larger one (SLIPWAY_CACHEDIR, store.path)";
        break;
    default:
        break;
    }
    return error;
}

base::Result<convert::ConvertReport> convert_image(const sources::LayeredImage& image,
                                                   const image::NativeSource& source,
                                                   const config::Config& config, int out_fd,
                                                   const stage::StageSink& sink,
                                                   std::stop_token stop) {
    convert::ConvertInput input;
    input.native = convert::native_parts(source, image.config);
    for (const auto& layer : image.layers) {
        input.layers.push_back({layer.blob, layer.diff_id, layer.open});
    }
    Counter counter;
    sink(progress_of(image, counter));
    const Ticker ticker(image, counter, sink);
    return convert::convert_isolated(input, options_for(config, std::move(stop)), out_fd, counter);
}

} // namespace slipway::prefetch::staging
