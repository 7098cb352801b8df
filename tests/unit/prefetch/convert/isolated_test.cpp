// SPDX-License-Identifier: Apache-2.0
#include "image/sif.hpp"
#include "memory_layer.hpp"
#include "prefetch/convert/convert.hpp"
#include "prefetch/convert/isolated.hpp"
#include "tar_build.hpp"

#include <catch2/catch.hpp>

#include <thread>

#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace slipway;
using namespace slipway::prefetch::convert;
using namespace slipway::test;
using base::Code;

namespace {

struct Output {
    base::UniqueFd file{memfd_create("test", MFD_CLOEXEC)};
    [[nodiscard]] std::uint64_t size() const {
        struct stat info {};
        fstat(file.get(), &info);
        return static_cast<std::uint64_t>(info.st_size);
    }
};

ConvertInput input_of(const std::vector<std::string>& tars, const std::string& deffile = "") {
    ConvertInput input;
    for (const auto& tar : tars) {
        input.layers.push_back(memory_layer(tar + tar_end()));
    }
    input.native = native_parts({"docker", "example:1", "0.0.0"}, {});
    if (!deffile.empty()) {
        input.native.deffile = deffile;
    }
    return input;
}

base::Result<ConvertReport> isolated(const ConvertInput& input, const Output& output,
                                     const ConvertOptions& options = {},
                                     const std::string& program = SLIPWAY_CONVERT_PROGRAM) {
    ProgressSink quiet;
    return convert_isolated(input, options, output.file.get(), quiet, program);
}

/// No child of ours is left, dead or alive.
bool alone() {
    return ::waitpid(-1, nullptr, WNOHANG) == -1 && errno == ECHILD;
}

std::size_t open_descriptors() {
    std::size_t count = 0;
    for (int fd = 0; fd < 200; ++fd) {
        struct stat info {};
        count += ::fstat(fd, &info) == 0 ? 1 : 0;
    }
    return count;
}

} // namespace

TEST_CASE("a process of its own gives the same image") {
    const std::string big(700'000, 'b');
    const auto input = input_of({tar_file("a", big + "1") + tar_entry("h", '1', {}, "a"),
                                 tar_file("a", "new"), tar_file("d/e", "small")});
    ConvertOptions options;
    options.digest_output = true;
    const Output here;
    ProgressSink quiet;
    const auto expected = convert(input, options, here.file.get(), quiet);
    REQUIRE(expected);
    const Output there;
    const auto report = isolated(input, there, options);
    REQUIRE(report);
    CHECK(report->output == expected->output);
    CHECK(report->second_visits == 1);
    CHECK(report->entries == expected->entries);
    CHECK(report->image_bytes == there.size());
    CHECK(alone());
}

TEST_CASE("errors come back as they are, and nothing is left") {
    auto damaged = input_of({tar_file("a", "x")});
    damaged.layers.push_back(memory_layer("garbage!" + std::string(2000, 'g')));
    const Output first;
    auto report = isolated(damaged, first);
    REQUIRE_FALSE(report);
    CHECK(report.error().code == Code::layer_invalid);
    CHECK(report.error().message.find("layer 2 of 2") != std::string::npos);
    CHECK(first.size() == 0);

    auto gone = input_of({tar_file("a", "x")});
    gone.layers[0].open = []() -> base::Result<std::unique_ptr<base::ByteSource>> {
        return base::fail(Code::source_unreachable, "nobody is there", "wait");
    };
    const Output second;
    report = isolated(gone, second);
    REQUIRE_FALSE(report);
    CHECK(report.error().code == Code::source_unreachable);
    CHECK(report.error().hint == "wait");

    auto cut = input_of({tar_file("a", "x")});
    cut.layers[0].blob.size = 100'000;
    cut.layers[0].open = [&]() -> base::Result<std::unique_ptr<base::ByteSource>> {
        auto source = std::make_unique<MemorySource>();
        source->bytes = std::string(100'000, 'x');
        source->fail_at = 50'000;
        return source;
    };
    const Output third;
    report = isolated(cut, third);
    REQUIRE_FALSE(report);
    CHECK(report.error().code == Code::source_unreachable);
    CHECK(alone());
}

TEST_CASE("a conversion can be stopped while it waits for bytes") {
    auto input = input_of({tar_file("a", "x")});
    input.layers[0].blob.size = 100'000;
    input.layers[0].open = []() -> base::Result<std::unique_ptr<base::ByteSource>> {
        auto source = std::make_unique<MemorySource>();
        source->bytes = std::string(100'000, 'x');
        source->hang_at = 20'000;
        return source;
    };
    ConvertOptions options;
    std::stop_source stop;
    options.stop = stop.get_token();
    std::thread stopper([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
        stop.request_stop();
    });
    const Output output;
    const auto report = isolated(input, output, options);
    stopper.join();
    REQUIRE_FALSE(report);
    CHECK(report.error().code == Code::interrupted);
    CHECK(output.size() == 0);
    CHECK(alone());
}

TEST_CASE("a program that is not there is an error") {
    const Output output;
    const auto report = isolated(input_of({}), output, {}, "/nonexistent/slipway-convert");
    REQUIRE_FALSE(report);
    CHECK(report.error().code == Code::system);
}

TEST_CASE("a child that misbehaves is an error and nothing else") {
    const auto before = open_descriptors();
    const auto code = [&](const char* how) {
        auto input = input_of({tar_file("a", std::string(3'000'000, 'x'))}, how);
        const Output output;
        const auto report = isolated(input, output, {}, SLIPWAY_MISBEHAVING_CHILD);
        CHECK(output.size() == 0);
        CHECK(alone());
        REQUIRE_FALSE(report);
        INFO(report.error().one_line());
        return report.error().code;
    };
    CHECK(code("crash") == Code::internal);
    CHECK(code("killed") == Code::system);
    CHECK(code("slow") == Code::limit_exceeded);
    CHECK(code("quiet") == Code::internal);
    CHECK(code("garbage") == Code::internal);
    CHECK(code("long") == Code::limit_exceeded);
    CHECK(code("open-unknown") == Code::internal);
    CHECK(code("open-many") == Code::internal);
    CHECK(code("open-same") == Code::internal);
    CHECK(code("close-many") == Code::internal);
    CHECK(code("bytes-unknown") == Code::internal);
    CHECK(code("lie") == Code::internal);
    CHECK(code("descriptors") == Code::layer_invalid);
    for (int i = 0; i < 20; ++i) { // a race: the last word may be read before the end is seen
        CHECK(code("last-word") == Code::layer_invalid);
    }
    CHECK(open_descriptors() == before);
}

namespace {

/// A SIF as we make them ourselves.
Output made_image() {
    Output out;
    REQUIRE(isolated(input_of({tar_file("a", "x")}), out));
    return out;
}

base::Result<void> check(const Output& file, const std::string& architecture = "amd64",
                         const std::string& name = "x.sif",
                         const std::string& program = SLIPWAY_CONVERT_PROGRAM) {
    return check_isolated(file.file.get(), {name, file.size(), architecture}, {}, program);
}

void overwrite(const Output& file, std::uint64_t at, std::string_view bytes) {
    REQUIRE(::pwrite(file.file.get(), bytes.data(), bytes.size(), static_cast<off_t>(at)) ==
            static_cast<ssize_t>(bytes.size()));
}

} // namespace

TEST_CASE("a finished image is checked by a process of its own") {
    const auto good = made_image();
    const auto size = good.size();
    const auto fine = check(good);
    INFO((fine ? "" : fine.error().one_line()));
    CHECK(fine);
    CHECK(good.size() == size);
    CHECK(alone());
    const auto foreign = check(good, "s390x");
    REQUIRE_FALSE(foreign);
    CHECK(foreign.error().code == Code::platform_mismatch);
    CHECK(foreign.error().hint.find("--arch") != std::string::npos);
}

TEST_CASE("what is no image, or a damaged one, is refused with its name") {
    auto image = made_image();
    auto expected = Code::image_corrupt;
    SECTION("no SIF at all") {
        REQUIRE(::ftruncate(image.file.get(), 0) == 0);
        overwrite(image, 0, "some text");
        expected = Code::image_format;
    }
    SECTION("cut off") {
        REQUIRE(::ftruncate(image.file.get(), static_cast<off_t>(image.size() - 4096)) == 0);
    }
    SECTION("a table that is no table") {
        overwrite(image, 4096, std::string(585, '\xff'));
    }
    SECTION("a root directory that leads nowhere") {
        const auto sif = image::read_sif(image.file.get(), image.size());
        REQUIRE(sif);
        overwrite(image, sif->primary()->offset + 32, std::string(8, '\xff')); // root inode
    }
    const auto refused = check(image);
    REQUIRE_FALSE(refused);
    INFO(refused.error().one_line());
    CHECK(refused.error().code == expected);
    CHECK(refused.error().one_line().find("x.sif") != std::string::npos);
    CHECK(alone());
}

TEST_CASE("a checker that falls over or lies about its end is an error") {
    const auto image = made_image();
    for (const std::string how : {"crash", "killed", "quiet", "garbage"}) {
        INFO(how);
        CHECK_FALSE(check(image, "amd64", how, SLIPWAY_MISBEHAVING_CHILD));
        CHECK(alone());
    }
    std::stop_source stop;
    stop.request_stop();
    const auto stopped = check_isolated(image.file.get(), {"x", image.size(), "amd64"},
                                        stop.get_token(), SLIPWAY_CONVERT_PROGRAM);
    REQUIRE_FALSE(stopped);
    CHECK(stopped.error().code == Code::interrupted);
}
