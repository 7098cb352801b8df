// SPDX-License-Identifier: Apache-2.0
#include "prefetch/convert/convert.hpp"

#include "base/fd.hpp"
#include "image/sif.hpp"
#include "squashfs/superblock.hpp"
#include "memory_layer.hpp"
#include "tar_build.hpp"

#include <catch2/catch.hpp>

#include <chrono>
#include <csignal>
#include <thread>

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

using namespace slipway;
using namespace slipway::prefetch::convert;
using namespace slipway::test;
using base::Code;

namespace {

std::string big(char seed) {
    std::string out;
    for (int i = 0; out.size() < 500'000; ++i) {
        out += seed + std::to_string(i * 31) + "\n";
    }
    return out;
}

ConvertInput input_of(const std::vector<std::string>& tars) {
    ConvertInput input;
    for (const auto& tar : tars) {
        input.layers.push_back(memory_layer(tar + tar_end()));
    }
    image::ImageConfig config;
    config.platform.architecture = "amd64";
    config.platform.os = "linux";
    config.env = {"PATH=/bin", "A=b c"};
    config.cmd = {"/bin/sh"};
    input.native = native_parts({"docker", "example:1", "0.0.0"}, config);
    return input;
}

struct Outcome {
    base::UniqueFd file{memfd_create("test", MFD_CLOEXEC)};
    base::Result<ConvertReport> report = base::fail(Code::internal, "not run");
    [[nodiscard]] std::uint64_t size() const {
        struct stat info {};
        fstat(file.get(), &info);
        return static_cast<std::uint64_t>(info.st_size);
    }
    [[nodiscard]] image::Digest digest() const {
        return *image::sha256_of_file(file.get(), 0, size());
    }
};

Outcome run(const ConvertInput& input, const ConvertOptions& options = {}) {
    Outcome out;
    ProgressSink quiet;
    out.report = convert(input, options, out.file.get(), quiet);
    return out;
}

} // namespace

TEST_CASE("a conversion gives a SIF with the objects of a native image") {
    ConvertOptions options;
    options.digest_output = true;
    const auto out = run(input_of({tar_file("etc/x", big('a')), tar_file("b", "b")}), options);
    REQUIRE(out.report);
    CHECK(out.report->image_bytes == out.size());
    CHECK(out.report->output == out.digest());
    CHECK(out.report->entries == 2);
    const auto sif = image::read_sif(out.file.get(), out.size());
    REQUIRE(sif);
    REQUIRE(sif->objects.size() == 4);
    CHECK(*image::read_deffile(out.file.get(), *sif) == "bootstrap: docker\nfrom: example:1\n\n");
    CHECK(image::read_inspect_metadata(out.file.get(), *sif)->find("\"runscript\"") != std::string::npos);
    const auto* config = sif->find_named(image::SifType::generic_json, image::oci_config_name);
    REQUIRE(config != nullptr);
    CHECK(*image::read_sif_object(out.file.get(), *config, 1000) ==
          R"({"Env":["PATH=/bin","A=b c"],"Cmd":["/bin/sh"]})");
    const auto* primary = sif->primary();
    REQUIRE(primary != nullptr);
    CHECK(primary->architecture() == "amd64");
    CHECK(primary->offset % 4096 == 0);
    CHECK(primary->size % 4096 == 0);
    CHECK(primary->offset + primary->size == out.size());
}

TEST_CASE("equal input gives equal bytes") {
    const auto input = input_of({tar_file("a", big('a')) + tar_file("c", big('c')) + tar_entry("h", '1', {}, "a"),
                                 tar_file("a", big('b')), tar_file("d/e", "small")});
    const auto first = run(input);
    REQUIRE(first.report);
    CHECK(first.report->second_visits == 1);
    for (const unsigned threads : {1U, 3U, 8U}) {
        for (const std::uint64_t memory : {1ULL << 20U, 1ULL << 30U}) {
            ConvertOptions options;
            options.threads = threads;
            options.memory = memory;
            const auto again = run(input, options);
            REQUIRE(again.report);
            CHECK(again.digest() == first.digest());
        }
    }
    ConvertOptions gzip;
    gzip.compressor = squashfs::Compressor::gzip;
    const auto other = run(input, gzip);
    REQUIRE(other.report);
    CHECK(other.digest() != first.digest());
    ConvertOptions wide;
    wide.block_size = 1U << 20U;
    CHECK(run(input, wide).report);
}

TEST_CASE("options that make no sense are refused") {
    const auto input = input_of({tar_file("a", "x")});
    const auto code = [&](auto change) {
        ConvertOptions options;
        change(options);
        const auto out = run(input, options);
        return out.report ? Code::internal : out.report.error().code;
    };
    CHECK(code([](ConvertOptions&) {}) == Code::internal);
    CHECK(code([](ConvertOptions& o) { o.block_size = 100'000; }) == Code::usage);
    CHECK(code([](ConvertOptions& o) { o.block_size = 2048; }) == Code::usage);
    CHECK(code([](ConvertOptions& o) { o.block_size = 2U << 20U; }) == Code::usage);
    CHECK(code([](ConvertOptions& o) { o.level = 25; }) == Code::usage);
    CHECK(code([](ConvertOptions& o) { o.limits.layers = 0; }) == Code::limit_exceeded);
}

TEST_CASE("every level that the table of compressors offers can be used, and no other") {
    const auto input = input_of({tar_file("a", "x") + tar_file("b", big('b'))});
    for (const auto& row : squashfs::compressors) {
        for (const int level : {0, row.lowest_level, row.default_level, row.highest_level,
                                row.highest_level + 1}) {
            CAPTURE(row.name, level);
            ConvertOptions options;
            options.compressor = row.id;
            options.level = level;
            const auto out = run(input, options);
            CHECK(out.report.has_value() == row.has_level(level));
            if (!out.report) {
                CHECK(out.report.error().code == Code::usage);
            }
        }
    }
}

TEST_CASE("an output that is not empty is left alone") {
    Outcome out;
    REQUIRE(base::write_all(out.file.get(), "precious"));
    ProgressSink quiet;
    const auto report = convert(input_of({tar_file("a", "x")}), {}, out.file.get(), quiet);
    REQUIRE_FALSE(report);
    CHECK(out.size() == 8);
}

TEST_CASE("a failed conversion names the layer and leaves nothing") {
    auto input = input_of({tar_file("a", big('a')), tar_file("b", big('b')) + std::string(512, 'x')});
    auto out = run(input);
    REQUIRE_FALSE(out.report);
    CHECK(out.report.error().code == Code::layer_invalid);
    CHECK(out.report.error().one_line().find("layer 2 of 2 (sha256:") != std::string::npos);
    CHECK(out.size() == 0);

    input = input_of({tar_file("a", big('a')), tar_file("b", big('b'))});
    input.layers[0].diff_id = image::sha256(std::string_view("other"));
    out = run(input);
    REQUIRE_FALSE(out.report);
    CHECK(out.report.error().code == Code::digest_mismatch);
    CHECK(out.report.error().one_line().find("layer 1 of 2") != std::string::npos);
    CHECK(out.size() == 0);
}

TEST_CASE("a layer that changes between two visits is refused") {
    auto input = input_of({tar_file("a", big('a')) + tar_entry("h", '1', {}, "a"), tar_file("a", "new")});
    CHECK(run(input).report->second_visits == 1);
    const auto honest = input.layers[0].open;
    const std::string forged = gzipped(tar_file("a", big('x')) + tar_entry("h", '1', {}, "a") + tar_end());
    int visits = 0;
    input.layers[0].open = [&]() -> base::Result<std::unique_ptr<base::ByteSource>> {
        if (++visits == 1) {
            return honest();
        }
        auto source = std::make_unique<MemorySource>();
        source->bytes = forged;
        return source;
    };
    const auto out = run(input);
    CHECK(visits == 2);
    REQUIRE_FALSE(out.report);
    CHECK(out.report.error().code == Code::digest_mismatch);
    CHECK(out.size() == 0);
}

TEST_CASE("a conversion stops soon after a request to stop") {
    auto input = input_of({tar_file("a", big('a')), tar_file("b", big('b')), tar_file("c", big('c'))});
    const auto open = input.layers[1].open;
    input.layers[1].open = [&]() -> base::Result<std::unique_ptr<base::ByteSource>> {
        TRY_ASSIGN(auto source, open());
        static_cast<MemorySource&>(*source).hang_at = 30'000;
        return source;
    };
    std::stop_source stop;
    ConvertOptions options;
    options.stop = stop.get_token();
    std::thread stopper([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
        stop.request_stop();
    });
    const auto started = std::chrono::steady_clock::now();
    const auto out = run(input, options);
    stopper.join();
    REQUIRE_FALSE(out.report);
    CHECK(out.report.error().code == Code::interrupted);
    CHECK(out.size() == 0);
    CHECK(std::chrono::steady_clock::now() - started < std::chrono::seconds(20));
    CHECK(run(input_of({tar_file("a", "x")}), options).report.error().code == Code::interrupted);
}

TEST_CASE("a size limit of the system is out of space") {
    // As a full disk: SIGXFSZ ignored, write fails.
    struct rlimit before {};
    REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    const struct rlimit small {100'000, before.rlim_max};
    REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
    const auto out = run(input_of({tar_file("a", big('a'))}));
    setrlimit(RLIMIT_FSIZE, &before);
    std::signal(SIGXFSZ, handler);
    REQUIRE_FALSE(out.report);
    CHECK(out.report.error().code == Code::out_of_space);
    CHECK(out.size() == 0);
}

TEST_CASE("progress adds up to the blobs") {
    struct Sink : ProgressSink {
        std::array<std::atomic<std::uint64_t>, 3> bytes{};
        std::vector<ConvertPhase> phases;
        void layer_bytes(std::size_t layer, std::uint64_t more) noexcept override { bytes[layer] += more; }
        void phase(ConvertPhase now) noexcept override { phases.push_back(now); }
    };
    const auto input = input_of({tar_file("a", big('a')), tar_file("b", big('b')), tar_file("c", "c")});
    Sink sink;
    const Outcome out;
    REQUIRE(convert(input, {}, out.file.get(), sink));
    for (std::size_t i = 0; i < 3; ++i) {
        CHECK(sink.bytes[i] == input.layers[i].blob.size);
    }
    CHECK(sink.phases == std::vector{ConvertPhase::layers, ConvertPhase::tables});
}

TEST_CASE("owners are squashed and modes opened only when asked") {
    ConvertOptions keep;
    keep.keep_owners = true;
    ConvertOptions open;
    open.readable_by_all = true;
    // Both change nothing for a file of root that all may read …
    const auto plain = input_of({tar_file("a", "x") + tar_entry("d", '5')});
    CHECK(run(plain).digest() == run(plain, keep).digest());
    // … but a private one becomes readable (tar_build's entries are 0644).
    auto raw = tar_header("p", '0', 0, {}, 0600);
    const auto secret = input_of({raw});
    CHECK(run(secret).digest() != run(secret, open).digest());
}
