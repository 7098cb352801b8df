// SPDX-License-Identifier: Apache-2.0
#include "prefetch/convert/layer_stream.hpp"

#include "memory_layer.hpp"

#include <catch2/catch.hpp>

#include "base/barrier.hpp"
#include "base/child.hpp"
#include "tests/support/skip.hpp"

#include <chrono>
#include <thread>

#include <sys/resource.h>
#include <unistd.h>

using namespace slipway;
using namespace slipway::prefetch::convert;
using namespace slipway::test;
using base::Code;

namespace {

LayerStream::Layer stream_layer(const image::LayerInput& input) {
    return {input.blob.digest, input.blob.size, input.diff_id, input.open};
}

base::Result<std::string> read_all(LayerStream& stream) {
    std::string out;
    for (;;) {
        auto piece = stream.next();
        if (!piece) {
            return tl::unexpected(stream.explain(std::move(piece).error()));
        }
        if (piece->empty()) {
            break;
        }
        out.append(reinterpret_cast<const char*>(piece->data()), piece->size());
    }
    TRY(stream.finish());
    return out;
}

/// The end of a stream of which nothing is kept.
base::Result<void> pass_by(LayerStream& stream) {
    for (;;) {
        const auto piece = stream.next();
        if (!piece) {
            return tl::unexpected(stream.explain(piece.error()));
        }
        if (piece->empty()) {
            return stream.finish();
        }
    }
}

base::Result<std::string> read_layer(const image::LayerInput& input, LayerStream::Limits limits = {}) {
    LayerStream stream(stream_layer(input), limits, nullptr);
    return read_all(stream);
}

image::LayerInput with_source(image::LayerInput layer, std::function<void(MemorySource&)> change) {
    const auto open = layer.open;
    layer.open = [open, change]() -> base::Result<std::unique_ptr<base::ByteSource>> {
        TRY_ASSIGN(auto source, open());
        change(static_cast<MemorySource&>(*source));
        return source;
    };
    return layer;
}

std::string content() {
    std::string out;
    for (std::uint64_t i = 0; out.size() < 3'000'000; ++i) {
        out += std::to_string(i * 7919) + ",";
    }
    return out;
}

} // namespace

TEST_CASE("a layer stream gives the tar bytes and checks both digests") {
    const std::string tar = content();
    std::atomic<std::uint64_t> counted{0};
    const image::LayerInput layer = memory_layer(tar);
    LayerStream stream(stream_layer(layer), {}, [&](std::uint64_t bytes) { counted += bytes; });
    const auto result = read_all(stream);
    REQUIRE(result);
    CHECK((*result == tar));
    CHECK(counted == layer.blob.size);
    CHECK(stream.blob_bytes() == layer.blob.size);
    CHECK(stream.tar_bytes() == tar.size());
    CHECK(std::string(stream.packing()) == "gzip");
    CHECK(read_layer(memory_layer("", gzipped(""))));
}

TEST_CASE("a blob that is not the right one is a digest mismatch, whatever else goes wrong") {
    const std::string tar = content();
    const std::string blob = gzipped(tar);
    const auto code = [&](const image::LayerInput& layer) {
        const auto result = read_layer(layer);
        return result ? Code::internal : result.error().code;
    };
    const auto changed = [&](auto change) {
        return code(with_source(memory_layer(tar, blob), change));
    };
    CHECK(changed([](MemorySource&) {}) == Code::internal);
    CHECK(changed([](MemorySource& s) { s.bytes[50] ^= 1; }) == Code::digest_mismatch);
    CHECK(changed([](MemorySource& s) { s.bytes[s.bytes.size() - 5] ^= 1; }) == Code::digest_mismatch);
    CHECK(changed([](MemorySource& s) { s.bytes.pop_back(); }) == Code::digest_mismatch);
    CHECK(changed([](MemorySource& s) { s.bytes.resize(1000); }) == Code::digest_mismatch);
    CHECK(changed([](MemorySource& s) { s.bytes.clear(); }) == Code::digest_mismatch);
    CHECK(changed([](MemorySource& s) { s.bytes += '\0'; }) == Code::digest_mismatch);
    CHECK(changed([](MemorySource& s) { s.bytes += std::string(5'000'000, 'x'); }) ==
          Code::digest_mismatch);
    CHECK(changed([](MemorySource& s) { s.bytes = "<html>404 not found</html>"; }) ==
          Code::digest_mismatch);
    CHECK(changed([](MemorySource& s) { s.fail_at = 20'000; }) == Code::source_unreachable);
    // The right blob, but damaged when it was made.
    CHECK(code(memory_layer(tar, blob.substr(0, blob.size() / 2))) == Code::layer_invalid);
    image::LayerInput wrong_diff_id = memory_layer(tar);
    wrong_diff_id.diff_id = image::sha256(std::string_view("other"));
    CHECK(code(wrong_diff_id) == Code::digest_mismatch);
    image::LayerInput no_source = memory_layer(tar);
    no_source.open = []() -> base::Result<std::unique_ptr<base::ByteSource>> {
        return base::fail(Code::source_denied, "not for you");
    };
    CHECK(code(no_source) == Code::source_denied);
}

TEST_CASE("bombs are stopped") {
    LayerStream::Limits limits;
    limits.bytes = 1'000'000;
    const auto too_large = read_layer(memory_layer(content()), limits);
    REQUIRE_FALSE(too_large);
    CHECK(too_large.error().code == Code::limit_exceeded);
    // 1.2 GB of zeros in about 1 MB, members of 60 MB each.
    const std::string member = gzipped(std::string(60'000'000, '\0'));
    std::string bomb;
    for (int i = 0; i < 20; ++i) {
        bomb += member;
    }
    limits = {};
    limits.ratio = 900;
    LayerStream stream(stream_layer(memory_layer("never compared", bomb)), limits, nullptr);
    const auto blown_up = pass_by(stream);
    REQUIRE_FALSE(blown_up);
    CHECK(blown_up.error().code == Code::limit_exceeded);
}

TEST_CASE("a stream can be stopped while its source hangs, or while nobody reads") {
    const std::string tar = content();
    const auto started = std::chrono::steady_clock::now();
    {
        LayerStream stream(
            stream_layer(with_source(memory_layer(tar), [](MemorySource& s) { s.hang_at = 100'000; })),
            {}, nullptr);
        std::thread stopper([&] {
            std::this_thread::sleep_for(std::chrono::milliseconds(50));
            stream.cancel();
        });
        const auto result = read_all(stream);
        stopper.join();
        REQUIRE_FALSE(result);
        CHECK(result.error().code == Code::interrupted);
    }
    {
        LayerStream::Limits limits;
        limits.buffer_bytes = 1;
        LayerStream unread(stream_layer(memory_layer(tar)), limits, nullptr);
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    CHECK(std::chrono::steady_clock::now() - started < std::chrono::seconds(20));
}

namespace {

/// As a user who may have so many processes and threads: 0 where the stream works, 1 where it
/// fails as an error of the system, 2 otherwise.
int stream_with(unsigned most) {
    constexpr uid_t nobody_else = 429'496; // with no process yet
    const rlimit limit{most, most};
    if (::setresuid(nobody_else, nobody_else, nobody_else) != 0 ||
        ::setrlimit(RLIMIT_NPROC, &limit) != 0) {
        return 2;
    }
    try {
        return read_layer(memory_layer(content())) ? 0 : 2;
    } catch (const std::exception& thrown) {
        return base::error_of(thrown).code == Code::system ? 1 : 2;
    }
}

} // namespace

TEST_CASE("threads that cannot be started end that stream, not the process") {
    if (::geteuid() != 0) {
        test::skip("needs root to become a user without processes");
        return;
    }
    // A sanitizer may have a thread of its own, so where it begins to work is left open; before that each of
    // the stream's three threads has been the one that was refused.
    int refused = 0;
    int last = -1;
    for (unsigned most = 1; most <= 8; ++most) {
        CAPTURE(most);
        auto child = base::Child::fork([&] { return stream_with(most); });
        REQUIRE(child);
        const auto status = child->wait();
        REQUIRE(status);
        last = *status >> 8; // an exit status as wait(2) has it; a signal would be in the low byte
        CHECK((*status & 0xff) == 0);
        CHECK((last == 0 || last == 1));
        CHECK((last == 1 || refused >= 3));
        refused += last;
    }
    CHECK(last == 0);
}
