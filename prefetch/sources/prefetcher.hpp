// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/fd.hpp"
#include "prefetch/sources/source.hpp"

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

namespace slipway::prefetch::sources {

/// Downloads the layers of one image side by side for a converter that reads them one after the
/// other, from the last to the first. The layer that is being read streams straight to its reader;
/// those that arrive before their turn are written compressed into nameless files in `spool`, as
/// far as `budget` and the file system allow. A download that finds no room waits, and the reader
/// takes it over where it stopped when its turn comes. So nothing here can make an image fail that a
/// single download would get.
///
/// open() may be called again for any layer, from any thread: what is still in the spool is read
/// again, else the layer is downloaded again.
class LayerPrefetcher : public std::enable_shared_from_this<LayerPrefetcher> {
  public:
    using Download = std::function<base::Result<std::unique_ptr<base::ByteSource>>(const std::stop_token&)>;
    struct Blob {
        image::Descriptor blob;
        Download download;
    };
    struct Options {
        unsigned parallel = 3;   ///< downloads at once, the reader's own included
        std::uint64_t budget = 0; ///< bytes in the spool
        int spool = -1;           ///< an open directory; -1: no spool, one download after the other
        std::shared_ptr<TransferCounters> counters;
    };

    /// `layers` bottom first, as in a manifest; a digest that occurs twice is downloaded once if the
    /// spool has it. No thread and no download before the first open().
    static std::shared_ptr<LayerPrefetcher> create(std::vector<Blob> layers, Options options,
                                                   std::stop_token stop);
    LayerPrefetcher(const LayerPrefetcher&) = delete;
    LayerPrefetcher& operator=(const LayerPrefetcher&) = delete;
    /// Ends all downloads and waits for the threads.
    ~LayerPrefetcher();

    base::Result<std::unique_ptr<base::ByteSource>> open(std::size_t layer);

    [[nodiscard]] std::uint64_t spooled_bytes() const; ///< in the spool now

  private:
    class Reader;
    friend class Reader;
    enum class State {
        idle,    ///< nobody has begun
        running, ///< a worker writes it into the spool
        parked,  ///< the worker has stopped; `stream` goes on behind the spooled bytes
        done,    ///< all of it is in the spool
        failed,  ///< `error` comes behind the spooled bytes
        taken    ///< a reader has or had the stream; what is in the spool is not all
    };
    struct Entry {
        image::Descriptor blob;
        Download download;
        State state = State::idle;
        base::UniqueFd spool;
        std::uint64_t spooled = 0;
        std::unique_ptr<base::ByteSource> stream;
        std::vector<std::uint8_t> pending; ///< read from `stream`, not in the spool
        std::optional<base::Error> error;
        bool wanted = false;   ///< a reader has caught up and waits
        bool consumed = false; ///< read to its end at least once
        int readers = 0;
    };
    struct Forward {
        std::stop_source* to;
        void operator()() const noexcept { to->request_stop(); }
    };

    LayerPrefetcher(std::vector<Blob> layers, Options options, const std::stop_token& stop);
    void start_workers();
    void work();
    Entry* next_entry();
    void spool_layer(Entry& entry);
    void end_spooling(Entry& entry, State state, std::optional<base::Error> error);
    bool make_room(std::unique_lock<std::mutex>& lock, Entry& entry, std::size_t bytes);
    bool write_spool(Entry& entry, const std::vector<std::uint8_t>& chunk, std::size_t size);
    void evict_consumed();
    void drop_spool(Entry& entry);
    void release_slot();
    void reader_gone(Entry& entry, bool had_stream, bool finished);

    Options options_;
    std::stop_source stop_;
    std::stop_callback<Forward> follow_;
    std::vector<std::unique_ptr<Entry>> entries_;
    std::vector<std::size_t> entry_of_layer_;
    std::vector<Entry*> order_; ///< as the converter reads
    mutable std::mutex mutex_;
    std::condition_variable_any changed_;
    unsigned active_ = 0;    ///< downloads under way, spooling or streaming
    std::uint64_t used_ = 0; ///< bytes in the spool
    bool started_ = false;
    std::vector<std::thread> workers_;
};

} // namespace slipway::prefetch::sources
