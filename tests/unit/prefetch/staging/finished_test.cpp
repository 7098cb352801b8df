// SPDX-License-Identifier: Apache-2.0
// Finished files on their way into the store: real files, and a checker that the test controls.
#include "prefetch/staging/stager.hpp"

#include "base/directory.hpp"
#include "base/path.hpp"
#include "base/temp_dir.hpp"
#include "image/digest.hpp"

#include <catch2/catch.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace slipway;
using namespace slipway::prefetch;
using base::Code;
using prefetch::stage::Phase;
using prefetch::stage::PullPolicy;

namespace {

struct Bench {
    base::TempDir dir = std::move(*base::TempDir::create("slipway-finished-"));
    std::shared_ptr<config::Config> site = std::make_shared<config::Config>();
    std::uint64_t quota = std::uint64_t{1} << 30U;
    std::function<base::Result<void>(int fd)> check = [](int) { return base::Result<void>(); };
    std::vector<convert::FinishedCheck> checks;
    std::vector<Phase> phases;

    std::string write(const std::string& name, const std::string& content) {
        auto path = dir.path() + "/" + name;
        const auto file = base::open_file(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
        REQUIRE(file);
        REQUIRE(base::write_all(file->get(), content));
        return path;
    }
    std::unique_ptr<staging::Stager> stager() {
        staging::StagerOptions options;
        options.config = site;
        options.store.path = dir.path() + "/store";
        options.store.quota = quota;
        staging::StagerParts parts;
        parts.convert = [](const sources::LayeredImage&, const image::NativeSource&,
                           const config::Config&, int, const stage::StageSink&,
                           std::stop_token) -> base::Result<convert::ConvertReport> {
            FAIL("nothing is to be converted");
            return base::fail(Code::internal, "converted");
        };
        parts.check = [this](int fd, const convert::FinishedCheck& wanted, std::stop_token) {
            checks.push_back(wanted);
            return check(fd);
        };
        auto made = staging::Stager::create(std::move(options), std::move(parts));
        REQUIRE(made);
        return std::move(*made);
    }
    stage::StageSink sink() {
        phases.clear();
        return [this](const stage::StageProgress& progress) {
            if (phases.empty() || phases.back() != progress.phase) {
                phases.push_back(progress.phase);
            }
        };
    }
    base::Result<stage::StagedImage> stage(const std::string& reference,
                                           PullPolicy pull = PullPolicy::missing) {
        stage::StageRequest request;
        request.reference = reference;
        request.platform = "linux/amd64";
        request.pull = pull;
        request.uid = 1000;
        return stager()->stage(request, sink(), {});
    }
    [[nodiscard]] bool store_is_empty() {
        const auto images = stager()->store().list();
        const auto left = base::names_in(dir.path() + "/store/tmp");
        return images && images->empty() && left && left->empty();
    }
};

std::string content_of(const std::string& path) {
    return base::read_file(path, 1U << 20U).value_or("unreadable");
}

std::string digest_text(std::string_view content) { return image::sha256(content).text(); }

} // namespace

TEST_CASE("a finished file is staged byte for byte, after a look at the copy") {
    Bench bench;
    const auto path = bench.write("x.sif", "an image");
    std::string seen;
    bench.check = [&](int fd) -> base::Result<void> {
        std::vector<std::uint8_t> bytes(8);
        TRY(base::read_exact_at(fd, bytes, 0));
        seen.assign(bytes.begin(), bytes.end());
        struct stat copy {};
        struct stat source {};
        CHECK(::fstat(fd, &copy) == 0);
        CHECK(::stat(path.c_str(), &source) == 0);
        CHECK(copy.st_ino != source.st_ino);
        return {};
    };
    const auto staged = bench.stage(path);
    REQUIRE(staged);
    CHECK(seen == "an image");
    CHECK(bench.phases == std::vector{Phase::resolving, Phase::resolved, Phase::copying,
                                      Phase::publishing});
    REQUIRE(bench.checks.size() == 1);
    CHECK(bench.checks[0].name == path);
    CHECK(bench.checks[0].size == 8);
    CHECK(bench.checks[0].architecture == "amd64");
    CHECK(content_of(staged->path) == "an image");
    CHECK(staged->digest == digest_text("an image"));
    CHECK(staged->reference == "file:" + path);
    const auto what = bench.stager()->store().provenance(staged->id);
    REQUIRE(what);
    CHECK(what->origin == "file");
    CHECK(what->manifest_digest == staged->digest);
    CHECK(what->output_digest == staged->digest);
    CHECK(what->output_size == 8);
    CHECK(what->options.empty());
    CHECK(what->layers.empty());
}

TEST_CASE("equal content is one image, whatever it is called and however images are converted") {
    Bench bench;
    const auto first = bench.stage(bench.write("x.sif", "an image"));
    REQUIRE(first);
    bench.site->convert.compression = squashfs::Compressor::gzip;
    const auto again = bench.stage(bench.write("y.sif", "an image"));
    REQUIRE(again);
    CHECK(again->id == first->id);
    CHECK(again->was_present);
    CHECK(bench.checks.size() == 1);
    const auto other = bench.stage(bench.write("x.sif", "another image"));
    REQUIRE(other);
    CHECK(other->id != first->id);
    // What the path meant last, for whoever wants no new work.
    const auto known = bench.stage(bench.dir.path() + "/x.sif", PullPolicy::never);
    REQUIRE(known);
    CHECK(known->id == other->id);
}

TEST_CASE("a path means the same from every directory") {
    Bench bench;
    bench.write("x.sif", "an image");
    const auto before = base::current_directory();
    REQUIRE(before);
    REQUIRE(::chdir(bench.dir.path().c_str()) == 0);
    const auto staged = bench.stage("./x.sif");
    REQUIRE(::chdir(before->c_str()) == 0);
    REQUIRE(staged);
    CHECK(staged->reference == "file:" + bench.dir.path() + "/x.sif");
    CHECK_FALSE(bench.stage("./x.sif", PullPolicy::never));
}

TEST_CASE("a file that is refused, or changes while it is copied, leaves nothing behind") {
    Bench bench;
    const auto path = bench.write("x.sif", "an image");
    auto expected = Code::digest_mismatch;
    SECTION("the checker refuses it") {
        bench.check = [](int) { return base::fail(Code::image_corrupt, "a hole in the table"); };
        expected = Code::image_corrupt;
    }
    SECTION("the copy is not what was looked up") {
        bench.check = [](int fd) -> base::Result<void> {
            CHECK(::pwrite(fd, "An", 2, 0) == 2);
            return {};
        };
    }
    SECTION("the source grows") {
        bench.check = [&](int) -> base::Result<void> {
            bench.write("x.sif", "an image and more");
            return {};
        };
    }
    const auto refused = bench.stage(path);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == expected);
    CHECK_FALSE(refused.error().hint.empty());
    CHECK(bench.store_is_empty());
}

TEST_CASE("quota and limits count for finished files, before they are copied") {
    Bench bench;
    const auto path = bench.write("x.sif", std::string(100'000, 'x'));
    SECTION("the quota") {
        bench.quota = 50'000;
        CHECK(bench.stage(path).error().code == Code::quota_exceeded);
    }
    SECTION("the limit of an image") {
        bench.site->limits.image_size = 50'000;
        CHECK(bench.stage(path).error().code == Code::limit_exceeded);
    }
    CHECK(bench.checks.empty());
    CHECK(bench.store_is_empty());
}

TEST_CASE("build copies a finished file to where it is wanted") {
    Bench bench;
    const auto path = bench.write("x.sif", "an image");
    stage::StageRequest request;
    request.reference = path;
    const auto target = bench.dir.path() + "/new.sif";
    const auto built = bench.stager()->build(request, target, bench.sink(), {});
    REQUIRE(built);
    CHECK(content_of(target) == "an image");
    CHECK(built->digest == digest_text("an image"));
    CHECK(bench.checks.size() == 1);
    bench.check = [](int) { return base::fail(Code::image_corrupt, "a hole in the table"); };
    CHECK_FALSE(bench.stager()->build(request, bench.dir.path() + "/bad.sif", bench.sink(), {}));
    CHECK(::access((bench.dir.path() + "/bad.sif").c_str(), F_OK) != 0);
    CHECK(bench.store_is_empty());
}
