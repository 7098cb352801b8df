// SPDX-License-Identifier: Apache-2.0
#include "prefetch/sources/prefetcher.hpp"

#include "base/barrier.hpp"
#include "base/format.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "prefetch/sources/spool_file.hpp"

#include <algorithm>
#include <cstring>
#include <map>

#include <fcntl.h>
#include <unistd.h>

namespace slipway::prefetch::sources {
namespace {

using base::Code;
using base::fail;

constexpr std::size_t chunk_size = 256 * 1024;

base::Unexpected cancelled() { return fail(Code::interrupted, "the download was cancelled"); }

} // namespace

/// Reads a layer: first what is in the spool, then the running download.
class LayerPrefetcher::Reader : public base::ByteSource {
  public:
    Reader(std::shared_ptr<LayerPrefetcher> owner, Entry& entry, std::unique_ptr<base::ByteSource> direct)
        : owner_(std::move(owner)), entry_(entry), direct_(std::move(direct)) {}
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;
    ~Reader() override { owner_->reader_gone(entry_, direct_ != nullptr && !finished_, finished_); }

    base::Result<std::size_t> read(std::span<std::uint8_t> buffer) override {
        if (buffer.empty()) {
            return std::size_t{0};
        }
        if (!direct_) {
            TRY_ASSIGN(const auto got, read_spool(buffer));
            if (got) {
                return *got;
            }
        }
        return read_direct(buffer);
    }

    /// All of it in the spool: read-only for the one who asks, since others may read it again.
    std::optional<base::FileRange> file_range() override {
        const std::lock_guard lock(owner_->mutex_);
        if (direct_ || entry_.state != State::done) {
            return std::nullopt;
        }
        auto file = base::open_file(fmt::format("/proc/self/fd/{}", entry_.spool.get()), O_RDONLY);
        if (!file) {
            return std::nullopt;
        }
        finished_ = true;
        return base::FileRange{std::move(*file), 0, entry_.spooled};
    }

    void cancel() noexcept override {
        const std::lock_guard lock(owner_->mutex_);
        cancelled_ = true;
        if (direct_) {
            direct_->cancel();
        }
        owner_->changed_.notify_all();
    }

  private:
    /// Nothing: the stream has been taken over and continues what was read so far.
    base::Result<std::optional<std::size_t>> read_spool(std::span<std::uint8_t> buffer) {
        std::unique_lock lock(owner_->mutex_);
        const auto stop = owner_->stop_.get_token();
        for (;;) {
            if (cancelled_ || stop.stop_requested()) {
                return cancelled();
            }
            if (offset_ < entry_.spooled) {
                const auto count = std::min<std::uint64_t>(buffer.size(), entry_.spooled - offset_);
                const int fd = entry_.spool.get();
                lock.unlock(); // the entry is not evicted while it has a reader
                TRY(base::read_exact_at(fd, buffer.first(static_cast<std::size_t>(count)), offset_));
                offset_ += count;
                return std::optional<std::size_t>(static_cast<std::size_t>(count));
            }
            switch (entry_.state) {
            case State::done:
                finished_ = true;
                return std::optional<std::size_t>(0);
            case State::failed:
                return base::Unexpected(*entry_.error);
            case State::parked:
                direct_ = std::move(entry_.stream);
                pending_ = std::move(entry_.pending);
                entry_.state = State::taken;
                return std::optional<std::size_t>();
            default:
                entry_.wanted = true;
                owner_->changed_.notify_all();
                owner_->changed_.wait(lock, stop, [this] {
                    return cancelled_ || offset_ < entry_.spooled || entry_.state != State::running;
                });
                entry_.wanted = false;
            }
        }
    }

    base::Result<std::size_t> read_direct(std::span<std::uint8_t> buffer) {
        if (pending_offset_ < pending_.size()) {
            const auto count = std::min(buffer.size(), pending_.size() - pending_offset_);
            std::memcpy(buffer.data(), pending_.data() + pending_offset_, count);
            pending_offset_ += count;
            return count;
        }
        TRY_ASSIGN(const auto got, direct_->read(buffer));
        if (owner_->options_.counters) {
            owner_->options_.counters->done += got;
        }
        if (got == 0 && !finished_) {
            finished_ = true;
            owner_->release_slot();
        }
        return got;
    }

    std::shared_ptr<LayerPrefetcher> owner_;
    Entry& entry_;
    std::unique_ptr<base::ByteSource> direct_; ///< set once, under the owner's mutex after construction
    std::vector<std::uint8_t> pending_;
    std::size_t pending_offset_ = 0;
    std::uint64_t offset_ = 0; ///< in the spool
    bool cancelled_ = false;   ///< under the owner's mutex
    bool finished_ = false;
};

LayerPrefetcher::LayerPrefetcher(std::vector<Blob> layers, Options options,
                                 const std::stop_token& stop)
    : options_(std::move(options)), follow_(stop, Forward{&stop_}) {
    std::map<image::Digest, std::size_t> known;
    for (auto& layer : layers) {
        const auto [found, fresh] = known.try_emplace(layer.blob.digest, entries_.size());
        if (fresh) {
            auto entry = std::make_unique<Entry>();
            entry->blob = std::move(layer.blob);
            entry->download = std::move(layer.download);
            entries_.push_back(std::move(entry));
        }
        entry_of_layer_.push_back(found->second);
    }
    for (auto layer = entry_of_layer_.rbegin(); layer != entry_of_layer_.rend(); ++layer) {
        auto* entry = entries_[*layer].get();
        if (std::find(order_.begin(), order_.end(), entry) == order_.end()) {
            order_.push_back(entry);
        }
        if (options_.counters) {
            options_.counters->total += entry->blob.size;
        }
    }
}

std::shared_ptr<LayerPrefetcher> LayerPrefetcher::create(std::vector<Blob> layers, Options options,
                                                         std::stop_token stop) {
    return std::shared_ptr<LayerPrefetcher>(
        new LayerPrefetcher(std::move(layers), std::move(options), stop));
}

LayerPrefetcher::~LayerPrefetcher() {
    stop_.request_stop();
    changed_.notify_all();
    for (auto& worker : workers_) {
        worker.join();
    }
}

std::uint64_t LayerPrefetcher::spooled_bytes() const {
    const std::lock_guard lock(mutex_);
    return used_;
}

base::Result<std::unique_ptr<base::ByteSource>> LayerPrefetcher::open(std::size_t layer) {
    Entry& entry = *entries_.at(entry_of_layer_.at(layer));
    {
        const std::lock_guard lock(mutex_);
        const bool shared = entry.readers > 0 && entry.state != State::done;
        const bool from_spool = entry.state == State::running || entry.state == State::parked ||
                                entry.state == State::done;
        ++entry.readers;
        if (from_spool && !shared) {
            return std::make_unique<Reader>(shared_from_this(), entry, nullptr);
        }
        if (!shared) {
            drop_spool(entry);
            entry.state = State::taken;
        }
        ++active_;
        start_workers();
    }
    auto stream = entry.download(stop_.get_token());
    if (!stream) {
        release_slot();
        const std::lock_guard lock(mutex_);
        --entry.readers;
        return base::Unexpected(std::move(stream).error());
    }
    return std::make_unique<Reader>(shared_from_this(), entry, std::move(*stream));
}

void LayerPrefetcher::release_slot() {
    {
        const std::lock_guard lock(mutex_);
        --active_;
    }
    changed_.notify_all();
}

void LayerPrefetcher::reader_gone(Entry& entry, bool had_stream, bool finished) {
    {
        const std::lock_guard lock(mutex_);
        --entry.readers;
        entry.consumed = entry.consumed || finished;
        if (had_stream) {
            --active_;
        }
        if (entry.readers == 0 && entry.state == State::taken) {
            drop_spool(entry);
        }
    }
    changed_.notify_all();
}

// --- the workers --------------------------------------------------------------------------------

/// Call with the mutex held. The reader's own download is one of the parallel ones.
void LayerPrefetcher::start_workers() {
    if (started_ || options_.spool < 0 || entries_.size() < 2) {
        return;
    }
    started_ = true;
    const auto count = std::min<std::size_t>(options_.parallel, entries_.size());
    for (std::size_t i = 1; i < count; ++i) {
        // One thread less only costs speed.
        (void)base::completes([&] { workers_.emplace_back([this] { work(); }); });
    }
}

LayerPrefetcher::Entry* LayerPrefetcher::next_entry() {
    if (active_ >= options_.parallel) {
        return nullptr;
    }
    const auto found = std::find_if(order_.begin(), order_.end(),
                                    [](const Entry* entry) { return entry->state == State::idle; });
    return found == order_.end() ? nullptr : *found;
}

void LayerPrefetcher::work() {
    const auto stop = stop_.get_token();
    for (;;) {
        Entry* entry = nullptr;
        {
            std::unique_lock lock(mutex_);
            const auto none_left = [this] {
                return std::none_of(order_.begin(), order_.end(),
                                    [](const Entry* e) { return e->state == State::idle; });
            };
            changed_.wait(lock, stop,
                          [&] { return none_left() || (entry = next_entry()) != nullptr; });
            if (stop.stop_requested() || entry == nullptr) {
                return;
            }
            entry->state = State::running;
            ++active_;
        }
        // Where memory is short this layer fails, and nothing else in the process.
        if (!base::completes([&] { spool_layer(*entry); })) {
            end_spooling(*entry, State::failed,
                         base::Error{base::Code::limit_exceeded, 0, "no memory", {}}); // short: needs none
        }
    }
}

void LayerPrefetcher::end_spooling(Entry& entry, State state, std::optional<base::Error> error) {
    const std::lock_guard lock(mutex_);
    entry.state = state;
    entry.error = std::move(error);
    --active_;
    changed_.notify_all();
}

void LayerPrefetcher::spool_layer(Entry& entry) {
    auto stream = entry.download(stop_.get_token());
    if (!stream) {
        end_spooling(entry, State::failed, std::move(stream).error());
        return;
    }
    std::vector<std::uint8_t> chunk(chunk_size);
    for (;;) {
        auto got = (*stream)->read(chunk);
        if (!got || *got == 0) {
            auto error = got ? std::optional<base::Error>() : std::optional(got.error());
            end_spooling(entry, got ? State::done : State::failed, std::move(error));
            return;
        }
        if (options_.counters) {
            options_.counters->done += *got;
        }
        std::unique_lock lock(mutex_);
        if (make_room(lock, entry, *got)) {
            lock.unlock();
            const bool written = write_spool(entry, chunk, *got);
            lock.lock();
            if (written) {
                entry.spooled += *got;
                *got = 0;
                changed_.notify_all();
            } else {
                used_ -= *got;
                changed_.wait(lock, stop_.get_token(), [&] { return entry.wanted; });
            }
        }
        if (*got != 0) {
            chunk.resize(*got);
            entry.pending = std::move(chunk);
            entry.stream = std::move(*stream);
            entry.state = State::parked; // the slot goes with the stream to the reader
            changed_.notify_all();
            return;
        }
    }
}

/// Reserves bytes of the budget. False when there is no room and the reader waits for these bytes,
/// or all ends. A reader that keeps up with a download that has room changes nothing: it may only
/// be looking ahead, and the download is to go on while it does other things.
bool LayerPrefetcher::make_room(std::unique_lock<std::mutex>& lock, Entry& entry, std::size_t bytes) {
    const auto fits = [&] {
        if (used_ + bytes > options_.budget) {
            evict_consumed();
        }
        return used_ + bytes <= options_.budget;
    };
    bool room = fits();
    if (!room) {
        changed_.wait(lock, stop_.get_token(), [&] { return (room = fits()) || entry.wanted; });
    }
    if (!room || stop_.stop_requested()) {
        return false;
    }
    used_ += bytes;
    return true;
}

bool LayerPrefetcher::write_spool(Entry& entry, const std::vector<std::uint8_t>& chunk,
                                  std::size_t size) {
    if (!entry.spool) {
        auto file = make_spool_file(options_.spool);
        if (!file) {
            base::log(base::LogLevel::warning, file.error().one_line());
            return false;
        }
        const std::lock_guard lock(mutex_);
        entry.spool = std::move(*file);
    }
    const auto written =
        base::write_all_at(entry.spool.get(), {chunk.data(), size}, entry.spooled);
    if (!written) {
        base::log(base::LogLevel::info,
                  fmt::format("no more layers are fetched ahead: {}", written.error().one_line()));
    }
    return written.has_value();
}

/// Layers that have been read once are kept only as long as nobody needs their room.
void LayerPrefetcher::evict_consumed() {
    for (auto& entry : entries_) {
        if (entry->state == State::done && entry->consumed && entry->readers == 0) {
            drop_spool(*entry);
            entry->state = State::taken;
        }
    }
}

void LayerPrefetcher::drop_spool(Entry& entry) {
    used_ -= entry.spooled;
    entry.spooled = 0;
    entry.spool.reset();
}

} // namespace slipway::prefetch::sources
