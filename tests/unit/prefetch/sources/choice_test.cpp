// SPDX-License-Identifier: Apache-2.0
// Which image a name means: platforms, labels, spellings, and files that are no sources.
#include "base/fd.hpp"
#include "tests/unit/prefetch/sources/fake_registry.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace slipway;
using namespace slipway::prefetch::sources;
using namespace slipway::prefetch::transfer;
using base::Code;
using test::Bench;
using test::FakeRegistry;

namespace {

std::string bare(const std::string& body) {
    return test::descriptor(image::media::oci_manifest, body);
}

/// A registry whose indexes do not name platforms: images for amd64 and arm64, and one whose
/// configuration names none either.
struct Unlabelled {
    Bench bench;
    FakeRegistry registry;
    const test::FakeImage amd = registry.image;
    const test::FakeImage arm = test::make_image("arm64", {"arm layer"});
    std::string config;   ///< of the silent image
    std::string manifest; ///< of the silent image

    Unlabelled() {
        const auto silent = test::make_image("amd64", {"silent layer"});
        const std::string platform = R"("architecture":"amd64","os":"linux",)";
        config = silent.config;
        config.erase(silent.config.find(platform), platform.size());
        manifest = silent.manifest;
        const auto put = [&](const std::string& from, const std::string& to) {
            manifest.replace(manifest.find(from), from.size(), to);
        };
        put(test::digest_of(silent.config), test::digest_of(config));
        put("\"size\":" + std::to_string(silent.config.size()),
            "\"size\":" + std::to_string(config.size()));
        registry.add(arm);
        registry.add(silent);
        registry.blobs[test::digest_of(config)] = config;
        registry.blobs[test::digest_of(manifest)] = manifest;
    }
    auto resolve(const std::string& index, const char* platform) {
        {
            const auto lock = registry.frozen();
            registry.tags["bare"] = index;
        }
        return bench.resolve(registry, ":bare", platform);
    }
};

} // namespace

TEST_CASE("entries without a platform are known by their configurations") {
    Unlabelled images;
    auto& [bench, registry, amd, arm, config, manifest] = images;
    const auto resolve = [&](const std::string& index, const char* platform) {
        return images.resolve(index, platform);
    };
    SECTION("the one that is for the platform") {
        const auto index = test::make_index({bare(arm.manifest), bare(amd.manifest)});
        CHECK(resolve(index, "linux/amd64")->manifest_digest.text() == amd.manifest_digest);
        CHECK(resolve(index, "linux/arm64")->manifest_digest.text() == arm.manifest_digest);
        auto none = resolve(index, "linux/ppc64le");
        REQUIRE_FALSE(none);
        CHECK(none.error().code == Code::platform_mismatch);
    }
    SECTION("also in nested indexes") {
        const auto inner = test::make_index({bare(arm.manifest), bare(amd.manifest)});
        registry.blobs[test::digest_of(inner)] = inner;
        const auto index = test::make_index({test::descriptor(image::media::oci_index, inner)});
        CHECK(resolve(index, "linux/amd64")->manifest_digest.text() == amd.manifest_digest);
    }
    SECTION("the first where none says") {
        const auto index = test::make_index({bare(manifest), bare(arm.manifest)});
        CHECK(resolve(index, "linux/amd64")->manifest_digest.text() == test::digest_of(manifest));
        CHECK(resolve(index, "linux/arm64")->manifest_digest.text() == arm.manifest_digest);
    }
    SECTION("but not artifacts, and an entry with the platform comes first") {
        const std::string artifact =
            R"({"schemaVersion":2,"config":)" +
            test::descriptor("application/vnd.cncf.helm.config.v1+json", config) +
            R"(,"layers":[]})";
        registry.blobs[test::digest_of(artifact)] = artifact;
        CHECK(resolve(test::make_index({bare(artifact), bare(amd.manifest)}), "linux/amd64"));
        const auto labelled =
            test::descriptor(image::media::oci_manifest, arm.manifest,
                             R"(,"platform":{"os":"linux","architecture":"arm64"})");
        CHECK(resolve(test::make_index({bare(manifest), labelled}), "linux/arm64")
                  ->manifest_digest.text() == arm.manifest_digest);
    }
    SECTION("not for ever") {
        std::vector<std::string> many(40, bare(arm.manifest));
        auto none = resolve(test::make_index(many), "linux/amd64");
        REQUIRE_FALSE(none);
        CHECK(none.error().code == Code::limit_exceeded);
    }
}

TEST_CASE("a configuration labelled with a type that says nothing is one") {
    Bench bench;
    FakeRegistry registry;
    for (const std::string type : {"application/octet-stream", "application/json", "text/html", ""}) {
        INFO(type);
        auto manifest = registry.image.manifest;
        const std::string label(image::media::oci_config);
        manifest.replace(manifest.find(label), label.size(), type);
        {
            const auto lock = registry.frozen();
            registry.tags["old"] = manifest;
        }
        auto image = bench.resolve(registry, ":old");
        INFO((image ? "" : image.error().one_line()));
        CHECK(image.has_value());
    }
}

TEST_CASE("every spelling of a registry has the settings of its entry") {
    config::Config site;
    site.registries["inner.site:21055"].insecure = true;
    site.registries["myhost:443"].insecure = true;
    const auto url = [&](const std::string& written) {
        const auto uri = image::parse_image_uri("docker://" + written + "/x");
        REQUIRE(uri);
        return registry_url(uri->reference.registry, site, false)->origin();
    };
    CHECK(url("inner.site:021055") == "http://inner.site:21055");
    CHECK(url("Inner.Site.:21055") == "http://inner.site:21055");
    CHECK(url("myhost:443") == "http://myhost:80");
    CHECK(url("other.site:443") == "https://other.site:443");
    CHECK(url("index.docker.io:443") == "https://registry-1.docker.io:443");
}

TEST_CASE("a file is a finished image, known by its content") {
    const auto dir = *base::TempDir::create("files");
    const auto path = dir.path() + "/x.sif";
    const auto file = base::open_file(path, O_RDWR | O_CREAT, 0600);
    REQUIRE(base::write_all(file->get(), "any bytes: nothing of them is read here"));
    SourceContext context;
    auto site = std::make_shared<config::Config>();
    context.config = site;
    const auto uri = image::parse_image(path);
    REQUIRE(uri);
    auto source = make_source(*uri, context);
    REQUIRE(source);
    const auto resolved = (*source)->resolve(image::host_platform(), {});
    REQUIRE(resolved);
    const auto digest = image::sha256(std::string_view("any bytes: nothing of them is read here"));
    CHECK(resolved->manifest_digest == digest);
    CHECK(resolved->root_digest == digest);
    CHECK(resolved->origin_kind == "file");
    CHECK((*source)->head(image::host_platform(), {})->digest == digest);
    CHECK(std::get<FinishedFile>(resolved->content).size == 39);
    SECTION("a wish to stop is heard") {
        std::stop_source stop;
        stop.request_stop();
        CHECK((*source)->resolve(image::host_platform(), stop.get_token()).error().code ==
              Code::interrupted);
    }
    SECTION("one that becomes shorter is an error that names it") {
        REQUIRE(::ftruncate(file->get(), 5) == 0);
        const auto cut = (*source)->resolve(image::host_platform(), {});
        REQUIRE_FALSE(cut);
        CHECK(cut.error().code == Code::io);
        CHECK(cut.error().message.find("x.sif") != std::string::npos);
    }
    SECTION("the limit of the site counts") {
        site->limits.image_size = 38;
        CHECK(make_source(*uri, context).error().code == Code::limit_exceeded);
    }
}

TEST_CASE("what is no file is no source, and the error says what it is") {
    const auto dir = *base::TempDir::create("files");
    const auto error_of = [&](const std::string& name) {
        const auto uri = image::parse_image(dir.path() + "/" + name);
        REQUIRE(uri);
        auto source = make_source(*uri, {});
        REQUIRE_FALSE(source);
        return source.error();
    };
    CHECK(error_of("nofile.sqsh").code == Code::image_not_found);
    CHECK(error_of("nofile.sqsh").one_line().find("No such file") != std::string::npos);
    CHECK(error_of("").message.find("is a directory") != std::string::npos);
    REQUIRE(::mkfifo((dir.path() + "/fifo").c_str(), 0600) == 0);
    CHECK(error_of("fifo").code == Code::image_format); // and nobody waits for a writer
}
