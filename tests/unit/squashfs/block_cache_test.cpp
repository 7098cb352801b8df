// SPDX-License-Identifier: Apache-2.0
#include "squashfs/reader/block_cache.hpp"

#include <catch2/catch.hpp>
#include <chrono>
#include <cstring>
#include <thread>

using slipway::squashfs::reader::BlockCache;
using Loaded = BlockCache::Loaded;

namespace {

struct Source {
    std::atomic<int> loads{0};

    auto of(std::uint64_t position) {
        return [this, position](std::span<std::uint8_t> buffer) -> std::optional<Loaded> {
            ++loads;
            std::memcpy(buffer.data(), &position, sizeof position);
            return Loaded{sizeof position, position + 1};
        };
    }
};

std::uint64_t content(const BlockCache::Ref& block) {
    std::uint64_t value = 0;
    REQUIRE(block.bytes().size() == sizeof value);
    std::memcpy(&value, block.bytes().data(), sizeof value);
    return value;
}

} // namespace

TEST_CASE("a block is loaded once and found again") {
    BlockCache cache(64, 32);
    Source source;
    CHECK(content(cache.get(7, source.of(7))) == 7);
    CHECK(cache.get(7, source.of(7)).next() == 8);
    CHECK(source.loads == 1);
    CHECK(cache.find(7));
    CHECK_FALSE(cache.find(8));
}

TEST_CASE("a failed load is not remembered") {
    BlockCache cache(64, 8);
    Source source;
    const auto failing = [](std::span<std::uint8_t>) { return std::optional<Loaded>(); };
    CHECK_FALSE(cache.get(5, failing));
    CHECK_FALSE(cache.find(5));
    CHECK(content(cache.get(5, source.of(5))) == 5);
}

TEST_CASE("many blocks pass through few slots, each with its own content") {
    BlockCache cache(64, 16);
    Source source;
    for (std::uint64_t round = 0; round < 3; ++round) {
        for (std::uint64_t position = 0; position < 1000; ++position) {
            REQUIRE(content(cache.get(position, source.of(position))) == position);
        }
    }
    CHECK(source.loads > 1000);
}

TEST_CASE("pinned blocks stay, and callers get blocks of their own when all are pinned") {
    BlockCache cache(64, 8);
    Source source;
    std::vector<BlockCache::Ref> pins;
    for (std::uint64_t position = 0; position < 50; ++position) {
        pins.push_back(cache.get(position, source.of(position)));
    }
    for (std::uint64_t position = 0; position < 50; ++position) {
        CHECK(content(pins[position]) == position);
    }
    pins.clear();
    CHECK(content(cache.get(99, source.of(99))) == 99);
    CHECK(cache.find(99));
}

TEST_CASE("a block outside of the cache that fails to load is empty") {
    BlockCache cache(64, 1);
    Source source;
    const auto pin = cache.get(1, source.of(1));
    CHECK_FALSE(cache.get(2, [](std::span<std::uint8_t>) { return std::optional<Loaded>(); }));
}

TEST_CASE("threads that want one block load it once") {
    BlockCache cache(64, 32);
    std::atomic<int> loads{0};
    std::atomic<int> good{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&] {
            const auto block = cache.get(3, [&](std::span<std::uint8_t> buffer) {
                ++loads;
                std::this_thread::sleep_for(std::chrono::milliseconds(30));
                buffer[0] = 42;
                return std::optional(Loaded{1, 0});
            });
            good += block && block.bytes()[0] == 42 ? 1 : 0;
        });
    }
    for (auto& thread : threads) {
        thread.join();
    }
    CHECK(loads == 1);
    CHECK(good == 4);
}

TEST_CASE("threads that wait for a load that fails get nothing") {
    BlockCache cache(64, 32);
    std::atomic<int> empty{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&] {
            const auto block = cache.get(3, [&](std::span<std::uint8_t>) {
                std::this_thread::sleep_for(std::chrono::milliseconds(10));
                return std::optional<Loaded>();
            });
            empty += block ? 0 : 1;
        });
    }
    for (auto& thread : threads) {
        thread.join();
    }
    CHECK(empty == 4);
}

TEST_CASE("threads hammering few slots never see another block's bytes") {
    BlockCache cache(64, 24);
    Source source;
    std::atomic<bool> wrong{false};
    std::vector<std::thread> threads;
    for (unsigned seed = 1; seed <= 4; ++seed) {
        threads.emplace_back([&, seed] {
            std::uint64_t state = seed;
            for (int i = 0; i < 20000; ++i) {
                state = state * 6364136223846793005U + 1442695040888963407U;
                const std::uint64_t position = (state >> 33U) % 60;
                const auto block = cache.get(position, source.of(position));
                std::uint64_t value = 0;
                std::memcpy(&value, block.bytes().data(), sizeof value);
                if (value != position || block.position() != position) {
                    wrong = true;
                }
            }
        });
    }
    for (auto& thread : threads) {
        thread.join();
    }
    CHECK_FALSE(wrong);
}
