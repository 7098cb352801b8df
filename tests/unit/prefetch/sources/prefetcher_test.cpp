// SPDX-License-Identifier: Apache-2.0
#include "base/format.hpp"
#include "base/temp_dir.hpp"
#include "prefetch/sources/prefetcher.hpp"

#include <catch2/catch.hpp>
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <map>
#include <thread>

using namespace slipway;
using namespace slipway::prefetch::sources;
using namespace std::chrono_literals;
using base::Code;

namespace {

/// Blobs in memory whose downloads can be watched, held up and broken.
class FakeBlobs {
  public:
    std::string content(std::size_t index) const {
        std::string made;
        while (made.size() < size) {
            // Each place says where it is, and little is made: it counts under ThreadSanitizer.
            made += fmt::format("{}:{};", index, made.size());
            made.append(500, static_cast<char>('a' + index));
        }
        made.resize(size);
        return made;
    }
    LayerPrefetcher::Download download(std::size_t index) {
        return [this, index](const std::stop_token& stop) -> base::Result<std::unique_ptr<base::ByteSource>> {
            ++downloads[index];
            if (out_of_memory[index]) {
                throw std::bad_alloc();
            }
            if (refuse[index]) {
                return base::fail(Code::source_not_found, "blob unknown");
            }
            return std::make_unique<Stream>(*this, index, content(index), stop);
        };
    }

    std::size_t size = 2'000'000;
    std::array<std::atomic<int>, 16> downloads{};
    std::array<std::atomic<bool>, 16> refuse{};
    std::array<std::atomic<bool>, 16> out_of_memory{};
    std::array<std::atomic<bool>, 16> held{};
    std::atomic<int> open_now{0};
    std::atomic<int> most_open{0};

  private:
    class Stream : public base::ByteSource {
      public:
        Stream(FakeBlobs& owner, std::size_t index, std::string content, std::stop_token stop)
            : owner_(owner), index_(index), content_(std::move(content)), stop_(std::move(stop)) {
            owner_.most_open = std::max<int>(owner_.most_open, ++owner_.open_now);
        }
        ~Stream() override { --owner_.open_now; }
        base::Result<std::size_t> read(std::span<std::uint8_t> buffer) override {
            while (owner_.held[index_] && !stop_.stop_requested() && !cancelled_) {
                std::this_thread::sleep_for(1ms);
            }
            if (stop_.stop_requested() || cancelled_) {
                return base::fail(Code::interrupted, "stopped");
            }
            std::this_thread::sleep_for(200us);
            const auto count = std::min({buffer.size(), content_.size() - at_, std::size_t{100'000}});
            std::memcpy(buffer.data(), content_.data() + at_, count);
            at_ += count;
            return count;
        }
        void cancel() noexcept override { cancelled_ = true; }

      private:
        FakeBlobs& owner_;
        std::size_t index_;
        std::string content_;
        std::stop_token stop_;
        std::size_t at_ = 0;
        std::atomic<bool> cancelled_{false};
    };
};

struct Bench {
    FakeBlobs blobs;
    base::TempDir spool = *base::TempDir::create("spool");
    base::UniqueFd spool_fd = *base::open_file(spool.path(), O_PATH | O_DIRECTORY);
    std::stop_source stop;
    std::shared_ptr<TransferCounters> counters = std::make_shared<TransferCounters>();

    std::shared_ptr<LayerPrefetcher> make(std::size_t layers, unsigned parallel, std::uint64_t budget) {
        std::vector<LayerPrefetcher::Blob> list;
        for (std::size_t i = 0; i < layers; ++i) {
            image::Descriptor descriptor;
            descriptor.digest = image::sha256(std::to_string(i));
            descriptor.size = blobs.size;
            list.push_back({descriptor, blobs.download(i)});
        }
        return LayerPrefetcher::create(std::move(list), {parallel, budget, spool_fd.get(), counters},
                                       stop.get_token());
    }
};

base::Result<std::string> drain(base::ByteSource& source, std::chrono::microseconds pause = 0us) {
    std::string all;
    std::vector<std::uint8_t> buffer(65'536);
    for (;;) {
        TRY_ASSIGN(const auto got, source.read(buffer));
        if (got == 0) {
            return all;
        }
        all.append(reinterpret_cast<const char*>(buffer.data()), got);
        std::this_thread::sleep_for(pause);
    }
}

base::Result<std::string> read_layer(LayerPrefetcher& prefetcher, std::size_t layer,
                                     std::chrono::microseconds pause = 0us) {
    TRY_ASSIGN(auto source, prefetcher.open(layer));
    return drain(*source, pause);
}

template <typename Condition> bool eventually(Condition condition) {
    for (int i = 0; i < 3000; ++i) {
        if (condition()) {
            return true;
        }
        std::this_thread::sleep_for(1ms);
    }
    return false;
}

} // namespace

TEST_CASE("all layers arrive whole, whatever the limits") {
    const unsigned parallel = GENERATE(1U, 2U, 3U, 8U);
    const std::uint64_t budget = GENERATE(std::uint64_t{0}, std::uint64_t{300'000},
                                          std::uint64_t{2'500'000}, std::uint64_t{1} << 30);
    INFO(parallel << " " << budget);
    Bench bench;
    auto prefetcher = bench.make(6, parallel, budget);
    CHECK(bench.blobs.open_now == 0);
    for (std::size_t layer = 6; layer-- > 0;) {
        auto got = read_layer(*prefetcher, layer, 20us);
        REQUIRE(got);
        CHECK(*got == bench.blobs.content(layer));
        CHECK(prefetcher->spooled_bytes() <= budget);
    }
    for (std::size_t layer = 0; layer < 6; ++layer) {
        CHECK(bench.blobs.downloads[layer] == 1);
    }
    CHECK(bench.blobs.most_open <= static_cast<int>(parallel));
    CHECK(bench.counters->done == 6 * bench.blobs.size);
    CHECK(bench.counters->total == 6 * bench.blobs.size);
}

TEST_CASE("layers below arrive while the first one is read") {
    Bench bench;
    auto prefetcher = bench.make(4, 3, 1U << 30);
    bench.blobs.held[3] = true;
    auto first = prefetcher->open(3);
    REQUIRE(first);
    CHECK(eventually([&] { return prefetcher->spooled_bytes() == 3 * bench.blobs.size; }));
    bench.blobs.held[3] = false;
    CHECK(*drain(**first) == bench.blobs.content(3));
    first = {};
    for (std::size_t layer : {2U, 1U, 0U}) {
        CHECK(*read_layer(*prefetcher, layer) == bench.blobs.content(layer));
    }
    SECTION("a second visit reads the spool") {
        CHECK(*read_layer(*prefetcher, 1) == bench.blobs.content(1));
        CHECK(bench.blobs.downloads[1] == 1);
    }
    SECTION("or downloads again what went straight through") {
        CHECK(*read_layer(*prefetcher, 3) == bench.blobs.content(3));
        CHECK(bench.blobs.downloads[3] == 2);
    }
}

TEST_CASE("two readers of one layer both get it") {
    Bench bench;
    auto prefetcher = bench.make(2, 2, 1U << 30);
    auto one = prefetcher->open(1);
    auto two = prefetcher->open(1);
    REQUIRE(one);
    REQUIRE(two);
    CHECK(*drain(**one) == bench.blobs.content(1));
    CHECK(*drain(**two) == bench.blobs.content(1));
    auto three = prefetcher->open(0);
    auto four = prefetcher->open(0);
    std::string got;
    std::thread other([&] { got = *drain(**four); });
    CHECK(*drain(**three) == bench.blobs.content(0));
    other.join();
    CHECK(got == bench.blobs.content(0));
}

TEST_CASE("one digest twice is one download") {
    Bench bench;
    std::vector<LayerPrefetcher::Blob> list;
    for (const std::size_t index : {0U, 1U, 0U, 2U}) {
        image::Descriptor descriptor;
        descriptor.digest = image::sha256(std::to_string(index));
        list.push_back({descriptor, bench.blobs.download(index)});
    }
    auto prefetcher = LayerPrefetcher::create(std::move(list), {3, 1U << 30, bench.spool_fd.get(), {}}, {});
    bench.blobs.held[2] = true;
    auto top = prefetcher->open(3);
    CHECK(eventually([&] { return prefetcher->spooled_bytes() == 2 * bench.blobs.size; }));
    bench.blobs.held[2] = false;
    CHECK(*drain(**top) == bench.blobs.content(2));
    CHECK(*read_layer(*prefetcher, 2) == bench.blobs.content(0));
    CHECK(*read_layer(*prefetcher, 1) == bench.blobs.content(1));
    CHECK(*read_layer(*prefetcher, 0) == bench.blobs.content(0));
    CHECK(bench.blobs.downloads[0] == 1);
}

TEST_CASE("an early failure is reported when its layer is read") {
    Bench bench;
    auto prefetcher = bench.make(3, 3, 1U << 30);
    bench.blobs.refuse[0] = true;
    CHECK(*read_layer(*prefetcher, 2) == bench.blobs.content(2));
    CHECK(*read_layer(*prefetcher, 1) == bench.blobs.content(1));
    auto got = read_layer(*prefetcher, 0);
    REQUIRE_FALSE(got);
    CHECK(got.error().code == Code::source_not_found);
    bench.blobs.refuse[0] = false;
    CHECK(*read_layer(*prefetcher, 0) == bench.blobs.content(0));
}

TEST_CASE("a download ahead that finds no memory fails by itself, and is tried again") {
    Bench bench;
    auto prefetcher = bench.make(3, 3, 1U << 30);
    bench.blobs.out_of_memory[1] = true;
    CHECK(*read_layer(*prefetcher, 2) == bench.blobs.content(2));
    CHECK(eventually([&] { return bench.blobs.downloads[1] == 1; }));
    bench.blobs.out_of_memory[1] = false;
    auto got = read_layer(*prefetcher, 1);
    if (!got) { // it was still failing
        CHECK(got.error().code == Code::limit_exceeded);
        got = read_layer(*prefetcher, 1);
    }
    CHECK(*got == bench.blobs.content(1));
    CHECK(*read_layer(*prefetcher, 0) == bench.blobs.content(0));
}

TEST_CASE("a spool that cannot be used only costs speed") {
    Bench bench;
    const auto list = [&] {
        std::vector<LayerPrefetcher::Blob> made;
        for (std::size_t i = 0; i < 3; ++i) {
            image::Descriptor descriptor;
            descriptor.digest = image::sha256(std::to_string(i));
            made.push_back({descriptor, bench.blobs.download(i)});
        }
        return made;
    };
    const auto gone = base::TempDir::create("spool");
    const auto removed = base::open_file(gone->path(), O_PATH | O_DIRECTORY);
    REQUIRE(removed);
    REQUIRE(::rmdir(gone->path().c_str()) == 0);
    for (const int spool : {removed->get(), -1}) {
        auto prefetcher = LayerPrefetcher::create(list(), {3, 1U << 30, spool, {}}, {});
        for (std::size_t layer = 3; layer-- > 0;) {
            CHECK(*read_layer(*prefetcher, layer) == bench.blobs.content(layer));
        }
        CHECK(prefetcher->spooled_bytes() == 0);
    }
}

TEST_CASE("everything ends when asked") {
    Bench bench;
    for (auto& held : bench.blobs.held) {
        held = true;
    }
    auto prefetcher = bench.make(5, 3, 1U << 30);
    auto source = prefetcher->open(4);
    REQUIRE(source);
    CHECK(eventually([&] { return bench.blobs.open_now == 3; }));
    SECTION("by the token") {
        std::thread stopper([&] {
            std::this_thread::sleep_for(20ms);
            bench.stop.request_stop();
        });
        auto got = drain(**source);
        stopper.join();
        REQUIRE_FALSE(got);
        CHECK(got.error().code == Code::interrupted);
    }
    SECTION("by cancel, streaming") {
        std::thread stopper([&] {
            std::this_thread::sleep_for(20ms);
            (*source)->cancel();
        });
        CHECK_FALSE(drain(**source));
        stopper.join();
    }
    SECTION("by cancel, waiting for a worker") {
        auto below = prefetcher->open(3);
        std::thread stopper([&] {
            std::this_thread::sleep_for(20ms);
            (*below)->cancel();
        });
        CHECK_FALSE(drain(**below));
        stopper.join();
    }
    SECTION("by letting go") {
        source = {};
        prefetcher.reset();
        CHECK(bench.blobs.open_now == 0);
    }
}
