// SPDX-License-Identifier: Apache-2.0
// Kills a publisher between any two store operations, makes every operation fail with "no space
// left", and meanwhile checks that no reader ever sees half an image.
#include "base/child.hpp"
#include "base/fd.hpp"
#include "store_fixture.hpp"

#include <catch2/catch.hpp>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <functional>

using namespace slipway;
using slipway::test::StoreFixture;

namespace {

const std::string content(300000, 'c');

/// Everything that a publisher does, in one go.
base::Result<void> whole_story(const store::Store& store) {
    TRY(StoreFixture::put(store, 1, content));
    TRY(store.record_ref({"docker://r/i:1", "sha256:1", "linux/amd64", StoreFixture::id_of(1), 1}));
    return store.grant(StoreFixture::id_of(1), 1000);
}

/// Reads the image as fast as it can; counts images that are not whole. A process, not a thread:
/// the tests fork publishers, and a fork beside a running thread may copy an allocator lock that is
/// held.
class Reader {
  public:
    explicit Reader(const store::Store& store) {
        auto pair = base::packet_pair();
        REQUIRE(pair);
        auto child = base::Child::fork([&] { return read_until_stopped(store, pair->second.get()); });
        REQUIRE(child);
        child_ = std::move(*child);
        stop_ = std::move(pair->first);
    }

    /// How many images were not whole, at most 100.
    int finish() {
        REQUIRE(base::send_packet(stop_.get(), "stop"));
        const auto status = child_.wait();
        REQUIRE(status);
        return base::exit_code_of(*status);
    }

  private:
    static int read_until_stopped(const store::Store& store, int stop) {
        int bad = 0;
        pollfd wait{stop, POLLIN, 0};
        while (::poll(&wait, 1, 0) == 0) {
            const auto image = store.find(StoreFixture::id_of(1));
            if (!image) {
                continue;
            }
            const auto text = base::read_file(image->path, 1U << 20U);
            // It may have been removed between the two calls; but never be half there.
            if (text && *text != content && bad < 100) {
                ++bad;
            }
        }
        return bad;
    }

    base::UniqueFd stop_;
    base::Child child_;
};

int count_steps() {
    StoreFixture fixture;
    int steps = 0;
    fixture.options.before_step = [&](std::string_view) -> base::Result<void> {
        ++steps;
        return {};
    };
    REQUIRE(whole_story(fixture.open()));
    return steps;
}

/// A process that does `work` on the store and kills itself before the step of that number.
base::Result<base::Child>
killed_at(int victim, const StoreFixture& fixture,
          const std::function<base::Result<void>(const store::Store&)>& work) {
    return base::Child::fork([&] {
        auto options = fixture.options;
        int step = 0;
        options.before_step = [&](std::string_view) -> base::Result<void> {
            if (++step == victim) {
                ::kill(::getpid(), SIGKILL);
            }
            return {};
        };
        const auto own = store::Store::open(options);
        return own && work(*own) ? 0 : 1;
    });
}

} // namespace

TEST_CASE("a publisher killed at any step leaves nothing half done") {
    const int steps = count_steps();
    REQUIRE(steps >= 10);
    StoreFixture fixture;
    const auto store = fixture.open();
    Reader reader(store);
    for (int victim = 1; victim <= steps; ++victim) {
        auto child = killed_at(victim, fixture, whole_story);
        REQUIRE(child);
        const auto status = child->wait();
        REQUIRE(status);
        CHECK(base::exit_code_of(*status) == 128 + SIGKILL);
        // The next publisher succeeds whatever was left, and what was left can be swept away.
        REQUIRE(whole_story(store));
        REQUIRE(store.sweep());
        CHECK(fixture.entries("tmp") == 0);
        CHECK(store.fsck(true, true)->empty());
        REQUIRE(store.remove(StoreFixture::id_of(1), true));
    }
    ::usleep(10000);
    CHECK(reader.finish() == 0);
}

TEST_CASE("a failure at any step is reported and changes nothing that readers see") {
    const int steps = count_steps();
    for (int victim = 1; victim <= steps; ++victim) {
        StoreFixture fixture;
        int step = 0;
        fixture.options.before_step = [&](std::string_view) -> base::Result<void> {
            if (++step == victim) {
                return base::fail_errno(base::Code::out_of_space, ENOSPC, "injected");
            }
            return {};
        };
        const auto store = fixture.open();
        const auto result = whole_story(store);
        REQUIRE_FALSE(result);
        CHECK(result.error().code == base::Code::out_of_space);
        CHECK(fixture.entries("tmp") == 0); // work directories go with their owner
        if (const auto image = store.find(StoreFixture::id_of(1))) {
            CHECK(base::read_file(image->path, 1U << 20U) == content);
            CHECK(store.provenance(image->id));
        }
    }
}

TEST_CASE("removal killed at any step leaves an image whole or gone") {
    for (int victim = 1; victim <= 5; ++victim) {
        StoreFixture fixture;
        const auto store = fixture.open();
        REQUIRE(whole_story(store));
        auto child = killed_at(victim, fixture, [](const store::Store& own) {
            return own.remove(StoreFixture::id_of(1), true);
        });
        REQUIRE(child);
        REQUIRE(child->wait());
        if (store.find(StoreFixture::id_of(1))) {
            CHECK(store.provenance(StoreFixture::id_of(1)));
        }
        REQUIRE(whole_story(store));
        CHECK(store.fsck(true, true)->empty());
    }
}
