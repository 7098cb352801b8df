// SPDX-License-Identifier: Apache-2.0
#include "prefetch/convert/convert.hpp"

#include "base/format.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "image/sif.hpp"
#include "prefetch/convert/budget.hpp"
#include "prefetch/convert/data_writer.hpp"
#include "prefetch/convert/layer_reader.hpp"
#include "prefetch/convert/layer_stream.hpp"
#include "prefetch/convert/native_overlay.hpp"
#include "prefetch/convert/squashfs_tables.hpp"
#include "prefetch/convert/tree.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <deque>
#include <mutex>

#include <unistd.h>

namespace slipway::prefetch::convert {

using base::Code;
using base::fail;
using base::Result;

namespace {

/// A sum of buffers, and what is left of the memory for everything that layers fill.
struct Shares {
    std::size_t layers_ahead = 1;
    std::size_t stream_bytes = 0; ///< tar bytes of one layer that wait between threads
    std::size_t blocks = 0;
    std::uint64_t content = 0; ///< for the Budget
};

/// Buffers for streams take an eighth of the memory, those for blocks at most a quarter; with little
/// memory, what the content of layers needs comes on top.
Shares shares_of(const ConvertOptions& options, unsigned threads, std::uint32_t block_size) {
    constexpr std::uint64_t least_content = 32U << 20U;
    Shares out;
    out.layers_ahead = std::clamp<std::size_t>(threads / 2, 1, 4);
    out.stream_bytes = std::clamp<std::size_t>(options.memory / 8 / (out.layers_ahead + 1),
                                               1U << 20U, 32U << 20U);
    out.blocks = static_cast<std::size_t>(
        std::min<std::uint64_t>(options.memory / 4 / std::max(1U, block_size), threads * 4ULL + 8));
    const std::uint64_t buffers =
        out.stream_bytes * (out.layers_ahead + 1) + out.blocks * std::uint64_t{block_size};
    out.content = std::max(options.memory - std::min(options.memory, buffers), least_content);
    return out;
}

std::string layer_name(const ConvertInput& input, std::size_t index) {
    return fmt::format("layer {} of {} ({})", index + 1, input.layers.size(),
                       input.layers[index].blob.digest.text().substr(0, 19));
}

/// The layers that are being read or will be soon: opened in the order in which they are needed,
/// the next ones while the current one is read.
class Streams {
  public:
    Streams(const ConvertInput& input, const ConvertOptions& options, ProgressSink& progress,
            const Shares& shares)
        : input_(input), progress_(progress), ahead_(shares.layers_ahead) {
        limits_.bytes = options.limits.image_bytes;
        limits_.ratio = options.limits.ratio;
        limits_.buffer_bytes = shares.stream_bytes;
        limits_.total = &unpacked_;
        limits_.windows.gate = &windows_;
    }
    Streams(const Streams&) = delete;
    Streams& operator=(const Streams&) = delete;
    ~Streams() { windows_.cancel(); } // no stream that goes now waits for its turn

    /// Layers to come, first one first. All planned before have been read.
    void plan(std::vector<std::size_t> layers) {
        planned_.assign(layers.begin(), layers.end());
        unpacked_ = 0;
    }

    /// The stream of the next planned layer. It lives until done().
    LayerStream& next() {
        open_some();
        windows_.turn_of(current_);
        return *open_.front();
    }
    void done() {
        std::unique_ptr<LayerStream> finished;
        {
            const std::lock_guard lock(mutex_);
            finished = std::move(open_.front());
            open_.pop_front();
            ++current_;
        }
        finished.reset();
        open_some();
    }

    /// From any thread: every stream, open or yet to come, fails.
    void cancel() noexcept {
        const std::lock_guard lock(mutex_);
        cancelled_ = true;
        windows_.cancel();
        for (auto& stream : open_) {
            stream->cancel();
        }
    }

  private:
    void open_some() {
        const std::lock_guard lock(mutex_);
        while (!planned_.empty() && open_.size() <= ahead_) {
            const std::size_t index = planned_.front();
            planned_.pop_front();
            const image::LayerInput& layer = input_.layers[index];
            limits_.windows.order = opened_++;
            open_.push_back(std::make_unique<LayerStream>(
                LayerStream::Layer{layer.blob.digest, layer.blob.size, layer.diff_id, layer.open},
                limits_, [this, index](std::uint64_t bytes) { progress_.layer_bytes(index, bytes); }));
            if (cancelled_) {
                open_.back()->cancel();
            }
        }
    }

    const ConvertInput& input_;
    ProgressSink& progress_;
    const std::size_t ahead_;
    LayerStream::Limits limits_;
    std::atomic<std::uint64_t> unpacked_{0}; ///< tar bytes of all layers of the plan
    WindowGate windows_;
    std::deque<std::size_t> planned_;
    std::size_t current_ = 0; ///< number of the stream that is read, in order of opening
    std::size_t opened_ = 0;
    std::mutex mutex_;
    std::deque<std::unique_ptr<LayerStream>> open_; ///< guarded
    bool cancelled_ = false;                        ///< guarded
};

class Conversion {
  public:
    Conversion(const ConvertInput& input, const ConvertOptions& options, int out_fd,
               ProgressSink& progress)
        : input_(input), options_(options), out_fd_(out_fd), progress_(progress),
          threads_(thread_count(options)),
          shares_(shares_of(options, threads_, options.block_size)),
          budget_(shares_.content, options.limits.entries),
          streams_(input, options_, progress, shares_), sif_(out_fd, {.reproducible = true}),
          names_(budget_), xattr_sets_(budget_, cost::xattr_set, cost::xattr_factor),
          paths_(names_), tree_(names_, paths_) {}

    Result<ConvertReport> run() {
        const std::stop_callback on_stop(options_.stop, [this] { streams_.cancel(); });
        TRY(check());
        TRY(begin());
        LayerReader reader(names_, paths_, xattr_sets_, *data_, options_);
        TRY(read_layers(reader));
        for (std::size_t index = 0; index < records_.size(); ++index) {
            auto applied = tree_.apply(records_[index]);
            if (!applied) {
                return tl::unexpected(
                    std::move(applied).error().context(layer_name(input_, index)));
            }
        }
        TRY(second_visits(reader));
        TRY(finish());
        fill_report(reader.counts());
        return std::move(report_);
    }

  private:
    Result<void> check();
    Result<void> begin();
    Result<void> read_layers(LayerReader& reader);
    Result<void> read_layer(LayerReader& reader, std::size_t index, const std::vector<bool>* wanted);
    Result<void> second_visits(LayerReader& reader);
    void mark_reachable(Tree::NodeId directory);
    Result<void> finish();
    void fill_report(const LayerReader::Counts& counts);

    const ConvertInput& input_;
    const ConvertOptions& options_;
    const int out_fd_;
    ProgressSink& progress_;
    const unsigned threads_;
    const Shares shares_;
    Budget budget_;
    SquashfsFormat format_;
    Streams streams_;
    image::SifWriter sif_;
    std::uint64_t base_ = 0;
    NamePool names_;
    NamePool xattr_sets_;
    PathPool paths_;
    Tree tree_;
    std::unique_ptr<DataWriter> data_;
    std::vector<LayerRecords> records_;       ///< by layer
    std::vector<std::vector<bool>> wanted_;   ///< by layer: left out but reachable
    std::vector<bool> alive_;                 ///< payloads that some name leads to
    ConvertReport report_;
};

Result<void> Conversion::check() {
    if (options_.block_size < 4096 || options_.block_size > (1U << 20U) ||
        !std::has_single_bit(options_.block_size)) {
        return fail(Code::usage, "the block size must be a power of two from 4 KiB to 1 MiB");
    }
    const auto& compressor = squashfs::facts_of(options_.compressor);
    format_.compressor = compressor.id;
    format_.level = options_.level.value_or(compressor.default_level);
    format_.block_size = options_.block_size;
    if (!compressor.has_level(format_.level)) {
        return fail(Code::usage, fmt::format("compression level {} is not possible", format_.level),
                    squashfs::levels_text(compressor));
    }
    const std::size_t most = std::min<std::size_t>(options_.limits.layers, UINT16_MAX - 1);
    if (input_.layers.size() > most) {
        return fail(Code::limit_exceeded, fmt::format("the image has {} layers, over the limit of {}",
                                                      input_.layers.size(), most),
                    "ask for a higher limit (limits.layers)");
    }
    for (std::size_t index = 0; index < input_.layers.size(); ++index) {
        const image::LayerInput& layer = input_.layers[index];
        if (!image::is_tar_layer(layer.blob.kind())) {
            return fail(Code::media_type,
                        fmt::format("{} has the media type {}, which is no file system layer",
                                    layer_name(input_, index),
                                    base::in_quotes(layer.blob.media_type)),
                        "this may be an artifact and no container image, or an encrypted image");
        }
        if (layer.blob.digest.empty() || layer.diff_id.empty()) {
            return fail(Code::source_protocol,
                        fmt::format("{} has no digest or diff id", layer_name(input_, index)));
        }
    }
    return {};
}

Result<void> Conversion::begin() {
    progress_.phase(ConvertPhase::layers);
    TRY_ASSIGN(const NameId empty, xattr_sets_.add(""));
    if (empty != Record{}.xattrs) {
        return fail(Code::internal, "the empty attribute set is not the first");
    }
    TRY(sif_.add(image::SifType::deffile, "", input_.native.deffile));
    TRY(sif_.add(image::SifType::generic_json, image::inspect_metadata_name,
                 input_.native.inspect_metadata));
    TRY(sif_.add(image::SifType::generic_json, image::oci_config_name, input_.native.oci_config));
    base_ = sif_.partition_offset();
    TRY_ASSIGN(const std::uint64_t data_start, begin_squashfs(out_fd_, base_, format_));
    DataWriter::Options data;
    data.compressor = format_.compressor;
    data.level = format_.level;
    data.block_size = format_.block_size;
    data.threads = threads_;
    data.buffers = shares_.blocks;
    data.budget = &budget_;
    TRY_ASSIGN(data_, DataWriter::create(out_fd_, base_, data_start, data));
    return {};
}

Result<void> Conversion::read_layers(LayerReader& reader) {
    records_.resize(input_.layers.size());
    std::vector<std::size_t> order(input_.layers.size());
    for (std::size_t i = 0; i < order.size(); ++i) {
        order[i] = order.size() - 1 - i; // from the top
    }
    streams_.plan(order);
    for (const std::size_t index : order) {
        TRY(read_layer(reader, index, nullptr));
    }
    return {};
}

/// The first visit of a layer, or with `wanted` the second.
Result<void> Conversion::read_layer(LayerReader& reader, std::size_t index,
                                    const std::vector<bool>* wanted) {
    LayerStream& stream = streams_.next();
    const auto read = [&]() -> Result<void> {
        if (wanted != nullptr) {
            return reader.read_again(stream, records_[index], *wanted);
        }
        TRY_ASSIGN(records_[index], reader.read(stream, static_cast<std::uint16_t>(index)));
        return {};
    };
    auto result = read();
    if (!result) {
        result = tl::unexpected(stream.explain(std::move(result).error()));
    } else {
        result = stream.finish();
    }
    if (!result) {
        base::Error error = std::move(result).error();
        if (options_.stop.stop_requested()) {
            return fail(Code::interrupted, "the conversion was stopped");
        }
        return tl::unexpected(std::move(error).context(layer_name(input_, index)));
    }
    report_.blob_bytes += stream.blob_bytes();
    report_.tar_bytes += stream.tar_bytes();
    streams_.done();
    return {};
}

/// Notes which payloads survive, and which files survive although their content was left out.
void Conversion::mark_reachable(Tree::NodeId directory) {
    for (const auto& [name, node] : tree_.children(directory)) {
        if (tree_.is_directory(node)) {
            mark_reachable(node);
            continue;
        }
        const Record& meta = tree_.meta(node);
        if (meta.kind != RecordKind::file) {
            continue;
        }
        if (meta.value != Record::no_payload) {
            alive_[meta.value] = true;
        }
        if (!meta.skipped) {
            continue;
        }
        for (std::size_t layer = 0; layer < records_.size(); ++layer) {
            const LayerRecords& records = records_[layer];
            const std::less<const Record*> before;
            if (!records.empty() && !before(&meta, records.data()) &&
                before(&meta, records.data() + records.size())) {
                wanted_[layer].resize(records.size(), false);
                wanted_[layer][static_cast<std::size_t>(&meta - records.data())] = true;
            }
        }
    }
}

Result<void> Conversion::second_visits(LayerReader& reader) {
    wanted_.resize(records_.size());
    alive_.assign(data_->payload_count(), false);
    mark_reachable(Tree::root);
    std::vector<std::size_t> order;
    for (std::size_t index = records_.size(); index-- > 0;) {
        if (!wanted_[index].empty()) {
            order.push_back(index);
        }
    }
    for (PayloadId id = 0; id < alive_.size(); ++id) {
        report_.dead_bytes += alive_[id] ? 0 : data_->payload(id).size;
    }
    alive_ = {};
    if (order.empty()) {
        return {};
    }
    progress_.phase(ConvertPhase::second_visits);
    report_.second_visits = order.size();
    streams_.plan(order);
    for (const std::size_t index : order) {
        TRY(read_layer(reader, index, &wanted_[index]));
    }
    return {};
}

Result<void> Conversion::finish() {
    progress_.phase(ConvertPhase::tables);
    TRY(overlay_native(tree_, *data_, names_, input_.native.tree, input_.native.time));
    TRY(data_->finish());
    if (options_.stop.stop_requested()) {
        return fail(Code::interrupted, "the conversion was stopped");
    }
    TRY_ASSIGN(const SquashfsSize size,
               finish_squashfs(out_fd_, base_, format_, tree_, *data_, xattr_sets_));
    TRY(sif_.finish(size.padded, input_.native.architecture));
    report_.image_bytes = base_ + size.padded;
    report_.inodes = size.inodes;
    if (options_.digest_output) {
        TRY_ASSIGN(report_.output, image::sha256_of_file(out_fd_, 0, report_.image_bytes));
    }
    return {};
}

void Conversion::fill_report(const LayerReader::Counts& counts) {
    report_.entries = counts.entries;
    report_.masked_files = counts.masked_files;
    report_.masked_bytes = counts.masked_bytes;
    const auto stats = data_->stats();
    report_.duplicate_files = stats.duplicate_files;
    report_.duplicate_bytes = stats.duplicate_bytes;
    auto& warnings = report_.warnings;
    if (counts.dropped_xattr_count > 0) {
        constexpr std::size_t longest = 100; // of what is shown of a name
        const auto names = base::joined(counts.dropped_xattrs, ", ", [](std::string_view name) {
            return base::in_quotes(name.substr(0, longest));
        });
        warnings.push_back(fmt::format("{} extended attributes that the image cannot hold were left "
                                       "out, such as {}",
                                       counts.dropped_xattr_count, names));
    }
    if (counts.climbing_paths > 0) {
        warnings.push_back(fmt::format("{} paths in the layers contain '..'; they were taken as "
                                       "relative to the root",
                                       counts.climbing_paths));
    }
    if (counts.tar.skipped_entries > 0) {
        warnings.push_back(fmt::format("{} tar entries of special types were left out",
                                       counts.tar.skipped_entries));
    }
    if (counts.tar.lone_zero_blocks > 0) {
        warnings.push_back("a layer has a zero block between its entries");
    }
}

} // namespace

Result<ConvertReport> convert(const ConvertInput& input, const ConvertOptions& options, int out_fd,
                              ProgressSink& progress) {
    if (lseek(out_fd, 0, SEEK_END) != 0) {
        return fail(Code::internal, "the output of a conversion must be an empty regular file");
    }
    // The object goes, and its threads with it, before the output is touched again.
    auto report = Conversion(input, options, out_fd, progress).run();
    if (!report && ftruncate(out_fd, 0) != 0) {
        // What is there has no header yet: nobody can take it for an image.
        base::log(base::LogLevel::warning, "the output of a failed conversion could not be emptied");
    }
    return report;
}

} // namespace slipway::prefetch::convert
