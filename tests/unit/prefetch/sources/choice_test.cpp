// SPDX-License-Identifier: Apache-2.0
// Which image a name means: platforms, labels, spellings, and files that are no sources.
#include "base/fd.hpp"
#include "tests/unit/prefetch/sources/fake_registry.hpp"

#include <fcntl.h>

using namespace slipway;
using namespace slipway::prefetch::sources;
using namespace slipway::prefetch::transfer;
using base::Code;
using test::Bench;
using test::FakeRegistry;

TEST_CASE("entries without a platform are told by their configurations") {
    Bench bench;
    FakeRegistry registry;
    const auto& amd = registry.image;
    const auto arm = test::make_image("arm64", {"arm layer"});
    auto silent = test::make_image("amd64", {"silent layer"});
    const auto word = silent.config.find(R"("architecture":"amd64","os":"linux",)");
    auto config = silent.config;
    config.erase(word, std::string(R"("architecture":"amd64","os":"linux",)").size());
    auto manifest = silent.manifest;
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
    const auto bare = [](const std::string& body) {
        return test::descriptor(image::media::oci_manifest, body);
    };
    const auto resolve = [&](const std::string& index, const char* platform) {
        {
            const auto lock = registry.frozen();
            registry.tags["bare"] = index;
        }
        return bench.resolve(registry, ":bare", platform);
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

TEST_CASE("files are no sources, and the error says what they are") {
    const auto dir = *base::TempDir::create("files");
    const auto write = [&](const std::string& name, const std::string& content) {
        const auto fd = base::open_file(dir.path() + "/" + name, O_WRONLY | O_CREAT, 0600);
        REQUIRE(base::write_all(fd->get(), content));
    };
    write("Singularity", "# what it is\n\nBootStrap : docker\nFrom: debian\n");
    write("x.def", "%post\n  true\n");
    write("x.sif", "#!/usr/bin/env run-singularity\n");
    const auto error_of = [&](const std::string& name) {
        const auto uri = image::parse_image(dir.path() + "/" + name);
        REQUIRE(uri);
        auto source = make_source(*uri, {});
        REQUIRE_FALSE(source);
        return source.error();
    };
    CHECK(error_of("nofile.sqsh").code == Code::image_not_found);
    CHECK(error_of("nofile.sqsh").one_line().find("No such file") != std::string::npos);
    CHECK(error_of("Singularity").message.find("is a definition file") != std::string::npos);
    CHECK(error_of("x.def").code == Code::unsupported);
    CHECK(error_of("x.def").message.find("is a definition file") != std::string::npos);
    CHECK(error_of("x.sif").message.find("used as it is") != std::string::npos);
    CHECK(error_of("").message.find("is a directory") != std::string::npos);
}
