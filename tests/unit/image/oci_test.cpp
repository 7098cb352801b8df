// SPDX-License-Identifier: Apache-2.0
#include "base/format.hpp"
#include "image/oci.hpp"

#include <catch2/catch.hpp>

using namespace slipway;
using base::Code;
using image::MediaKind;

namespace {

const std::string digest_a = "sha256:" + std::string(64, 'a');
const std::string digest_b = "sha256:" + std::string(64, 'b');

std::string descriptor(std::string_view type, std::string_view extra = "") {
    return fmt::format(R"({{"mediaType":"{}","digest":"{}","size":7{}}})", type, digest_a, extra);
}

std::string manifest(std::string_view config_type, const std::vector<std::string_view>& layers,
                     std::string_view extra = "") {
    std::string list;
    for (const auto type : layers) {
        list += (list.empty() ? "" : ",") + descriptor(type);
    }
    return fmt::format(R"({{"schemaVersion":2,"config":{},"layers":[{}]{}}})",
                       descriptor(config_type), list, extra);
}

base::Result<image::Manifest> manifest_in(std::string_view text, std::string_view type = {}) {
    TRY_ASSIGN(auto document, image::parse_document(text, type));
    REQUIRE(std::holds_alternative<image::Manifest>(document));
    return std::get<image::Manifest>(std::move(document));
}

Code code_of(const base::Result<image::Document>& result) {
    REQUIRE(!result);
    return result.error().code;
}

} // namespace

TEST_CASE("media types of all makers are known") {
    const std::vector<std::pair<std::string_view, MediaKind>> rows = {
        {image::media::oci_index, MediaKind::index},
        {image::media::docker_list, MediaKind::index},
        {image::media::oci_manifest, MediaKind::manifest},
        {image::media::docker_manifest, MediaKind::manifest},
        {"application/vnd.docker.distribution.manifest.v1+prettyjws", MediaKind::schema1},
        {image::media::docker_config, MediaKind::image_config},
        {image::media::oci_layer_tar, MediaKind::layer_tar},
        {image::media::oci_layer_gzip, MediaKind::layer_gzip},
        {image::media::oci_layer_zstd, MediaKind::layer_zstd},
        {"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", MediaKind::layer_gzip},
        {"application/vnd.docker.image.rootfs.diff.tar", MediaKind::layer_tar},
        {"application/vnd.docker.image.rootfs.diff.tar.gzip", MediaKind::layer_gzip},
        {"application/vnd.docker.image.rootfs.diff.tar.zstd", MediaKind::layer_zstd},
        {"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", MediaKind::layer_gzip},
        {"application/vnd.oci.image.layer.v1.tar+gzip+encrypted", MediaKind::layer_other},
        {"application/vnd.oci.image.layer.v1.tarball", MediaKind::unknown},
        {"appliciation/vnd.sylabs.sif.layer.tar", MediaKind::sif_layer},
        {"application/json", MediaKind::unknown},
        {"", MediaKind::unknown},
    };
    for (const auto& [text, kind] : rows) {
        INFO(text);
        CHECK(image::media_kind(text) == kind);
    }
    CHECK(image::is_foreign_layer("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"));
    CHECK(!image::is_foreign_layer(image::media::oci_layer_gzip));
}

TEST_CASE("a manifest is read with everything it has") {
    const auto text = fmt::format(
        R"({{"schemaVersion":2,"mediaType":"{}","config":{},"layers":[{},{}],"annotations":{{"k":"v"}}}})",
        image::media::oci_manifest, descriptor(image::media::oci_config),
        descriptor(image::media::oci_layer_gzip,
                   R"(,"urls":["https://x/y"],"annotations":{"a":"b"})"),
        descriptor(image::media::oci_layer_tar));
    const auto got =
        manifest_in(text, "application/vnd.oci.image.manifest.v1+json; charset=utf-8");
    REQUIRE(got);
    CHECK(got->config.digest.text() == digest_a);
    REQUIRE(got->layers.size() == 2);
    CHECK(got->layers[0].size == 7);
    CHECK(got->layers[0].urls == std::vector<std::string>{"https://x/y"});
    CHECK(got->layers[0].annotations.at("a") == "b");
    CHECK(got->annotations.at("k") == "v");
    CHECK(image::require_image(*got));
}

TEST_CASE("an index is read and its platforms chosen") {
    const auto entry = [](std::string_view platform, std::string_view digest) {
        return fmt::format(R"({{"mediaType":"{}","digest":"{}","size":1,"platform":{}}})",
                           image::media::oci_manifest, digest, platform);
    };
    const auto text = fmt::format(
        R"({{"schemaVersion":2,"manifests":[{},{},{},{},{}]}})",
        entry(R"({"os":"unknown","architecture":"unknown"})", "sha256:" + std::string(64, '0')),
        entry(R"({"os":"linux","architecture":"amd64","variant":"v3"})",
              "sha256:" + std::string(64, '1')),
        entry(R"({"os":"linux","architecture":"amd64"})", "sha256:" + std::string(64, '2')),
        entry(R"({"os":"linux","architecture":"arm","variant":"v6"})",
              "sha256:" + std::string(64, '3')),
        entry(R"({"os":"linux","architecture":"arm64","variant":"v8"})",
              "sha256:" + std::string(64, '4')));
    const auto index = image::parse_index(text);
    REQUIRE(index);
    REQUIRE(index->manifests.size() == 5);
    const auto chosen = [&](std::string_view platform) {
        const auto wanted = image::parse_platform(platform);
        REQUIRE(wanted);
        const auto got = image::select_platform(*index, *wanted);
        return got ? got->digest.hex()[0] : '-';
    };
    CHECK(chosen("linux/amd64") == '2'); // not the v3 that stands first
    CHECK(chosen("linux/amd64/v3") == '1');
    CHECK(chosen("linux/x86_64") == '2');
    CHECK(chosen("linux/arm/v7") == '3'); // falls back to v6
    CHECK(chosen("linux/arm/v5") == '-');
    CHECK(chosen("arm64") == '4');
    CHECK(chosen("linux/arm64/v8") == '4');
    CHECK(chosen("ppc64le") == '-');
    const auto none = image::select_platform(*index, *image::parse_platform("s390x"));
    REQUIRE(!none);
    CHECK(none.error().code == Code::platform_mismatch);
    CHECK(none.error().hint.find("linux/amd64") != std::string::npos);
    CHECK(none.error().hint.find("unknown") == std::string::npos);
}

TEST_CASE("platforms have one spelling") {
    const auto spelled = [](const char* text) { return image::parse_platform(text)->text(); };
    CHECK(spelled("linux/x86_64") == "linux/amd64");
    CHECK(spelled("Linux/AMD64") == "linux/amd64");
    CHECK(spelled("linux/aarch64") == "linux/arm64");
    CHECK(spelled("linux/arm64/v8") == "linux/arm64");
    CHECK(spelled("linux/arm") == "linux/arm/v7");
    CHECK(spelled("linux/armhf") == "linux/arm/v7");
    CHECK(spelled("linux/armel") == "linux/arm/v6");
    CHECK(spelled("linux/arm/6") == "linux/arm/v6");
    CHECK(spelled("i686") == "linux/386");
    CHECK(image::parse_platform("windows/amd64").error().code == Code::platform_mismatch);
    for (const auto* bad :
         {"", "/", "linux/", "linux/vax", "a/b/c/d", "linux/amd64/", "linux/am d64"}) {
        INFO(bad);
        CHECK(!image::parse_platform(bad));
    }
    CHECK(image::host_platform().os == "linux");
    CHECK(image::platform_matches(
        {.os = "linux", .architecture = "amd64", .variant = "", .os_version = ""},
        {.os = "linux", .architecture = "amd64", .variant = "v2", .os_version = ""}));
}

TEST_CASE("documents that are something else are refused") {
    const std::string index_part = R"("manifests":[])";
    CHECK(code_of(image::parse_document("")) == Code::source_protocol);
    CHECK(code_of(image::parse_document("{")) == Code::source_protocol);
    CHECK(code_of(image::parse_document("[]")) == Code::source_protocol);
    CHECK(code_of(image::parse_document("{}")) == Code::media_type);
    CHECK(code_of(image::parse_document(R"({"manifests":[],"layers":[]})")) == Code::media_type);
    CHECK(code_of(image::parse_document(R"({"manifests":[],"config":{}})")) == Code::media_type);
    CHECK(code_of(image::parse_document(R"({"schemaVersion":1,"fsLayers":[]})")) ==
          Code::media_type);
    CHECK(code_of(image::parse_document(
              "{" + index_part + "}",
              "application/vnd.docker.distribution.manifest.v1+prettyjws")) == Code::media_type);
    CHECK(code_of(image::parse_document("{" + index_part + "}", image::media::oci_manifest)) ==
          Code::media_type);
    CHECK(code_of(image::parse_document(fmt::format(R"({{"mediaType":"{}",{}}})",
                                                    image::media::docker_manifest, index_part))) ==
          Code::media_type);
    CHECK(code_of(image::parse_document(R"({"mediaType":"application/x-foo","manifests":[]})")) ==
          Code::media_type);
    CHECK(code_of(image::parse_document(R"({"layers":[]})")) == Code::media_type); // no config
    CHECK(image::parse_document("{" + index_part + "}", "application/json"));
    CHECK(image::parse_document(R"({"manifests":null})"));
    CHECK(!image::parse_index(manifest(image::media::oci_config, {})));
}

TEST_CASE("damaged descriptors are refused") {
    const auto with = [&](std::string_view field) {
        return image::parse_document(fmt::format(R"({{"config":{},"layers":[{{{}}}]}})",
                                                 descriptor(image::media::oci_config), field));
    };
    const auto good = fmt::format(R"("mediaType":"x","digest":"{}","size":1)", digest_a);
    CHECK(with(good));
    CHECK(code_of(with(R"("mediaType":"x","size":1)")) == Code::source_protocol);
    CHECK(code_of(with(fmt::format(R"("digest":"{}")", digest_a))) == Code::source_protocol);
    for (const auto* size :
         {"-1", "1.5", "\"1\"", "18446744073709551616", "9223372036854775807", "null", "[]"}) {
        INFO(size);
        CHECK(code_of(with(fmt::format(R"("digest":"{}","size":{})", digest_a, size))) ==
              Code::source_protocol);
    }
    CHECK(code_of(with(R"("digest":"sha256:../../../etc/passwd","size":1)")) ==
          Code::source_protocol);
    CHECK(code_of(with(good + R"(,"urls":"x")")) == Code::source_protocol);
    CHECK(code_of(with(good + R"(,"annotations":{"a":1})")) == Code::source_protocol);
    CHECK(code_of(with(good + R"(,"platform":{"os":3})")) == Code::source_protocol);
    CHECK(code_of(image::parse_document(R"({"config":[],"layers":[]})")) == Code::media_type);
}

TEST_CASE("size and depth are limited") {
    std::string deep = R"({"manifests":[],"annotations":)";
    deep += std::string(100, '[') + std::string(100, ']') + "}";
    CHECK(code_of(image::parse_document(deep)) == Code::source_protocol);
    CHECK(code_of(image::parse_document(std::string(image::max_document + 1, ' '))) ==
          Code::limit_exceeded);
    std::string many = R"({"config":)" + descriptor(image::media::oci_config) + R"(,"layers":[)";
    for (int i = 0; i < 10001; ++i) {
        many += (i == 0 ? "" : ",") + descriptor(image::media::oci_layer_tar);
    }
    CHECK(code_of(image::parse_document(many + "]}")) == Code::limit_exceeded);
}

TEST_CASE("what is no container image says what it is") {
    const auto refused = [](const std::string& text) {
        const auto parsed = manifest_in(text);
        REQUIRE(parsed);
        const auto got = image::require_image(*parsed);
        REQUIRE(!got);
        CHECK(got.error().code == Code::media_type);
        return got.error().one_line();
    };
    using Catch::Contains;
    CHECK_THAT(refused(manifest(image::media::sif_config, {image::media::sif_layer})),
               Contains("a SIF file") && !Contains("oras://")); // not built, not promised
    CHECK_THAT(refused(manifest("application/vnd.cncf.helm.config.v1+json", {"application/tar"})),
               Contains("helm"));
    CHECK_THAT(
        refused(manifest(image::media::oci_empty, {}, R"(,"artifactType":"application/spdx")")),
        Contains("spdx"));
    CHECK_THAT(refused(manifest(image::media::oci_config,
                                {"application/vnd.sylabs.image.layer.v1.squashfs"})),
               Contains("OCI-SIF"));
    CHECK_THAT(
        refused(manifest(image::media::oci_config, {image::media::oci_layer_tar, "text/plain"})),
        Contains("layer 2"));
    const auto good = manifest_in(
        manifest(image::media::docker_config, {image::media::docker_layer_gzip}));
    CHECK(image::require_image(*good));
}

TEST_CASE("an image configuration is read in all its historic forms") {
    const auto full = fmt::format(R"({{
        "created":"2024-05-01T12:00:00.123Z","architecture":"x86_64","os":"linux",
        "config":{{"User":"1000:1000","Env":["PATH=/bin","A=b=c"],"Entrypoint":["/init","--"],
                   "Cmd":"run","WorkingDir":"/w","Labels":{{"b":"2","a":"1"}},
                   "Volumes":{{"/v":{{}}}},"ExposedPorts":{{"80/tcp":{{}}}},"StopSignal":"SIGINT",
                   "ArgsEscaped":true,"OnBuild":null,"Healthcheck":{{"Test":["x"]}}}},
        "rootfs":{{"type":"layers","diff_ids":["{}","{}"]}},"history":[{{}},{{}},{{}}]}})",
                                  digest_a, digest_b);
    const auto got = image::parse_image_config(full);
    REQUIRE(got);
    CHECK(got->platform.text() == "linux/amd64");
    CHECK(got->created_seconds() == 1714564800);
    CHECK(got->diff_ids.size() == 2);
    CHECK(got->diff_ids[1].text() == digest_b);
    CHECK(got->history_entries == 3);
    CHECK(got->entrypoint == std::vector<std::string>{"/init", "--"});
    CHECK(got->cmd == std::vector<std::string>{"run"});
    CHECK(got->env[1] == "A=b=c");
    CHECK(got->config_json() ==
          R"({"User":"1000:1000","ExposedPorts":{"80/tcp":{}},"Env":["PATH=/bin","A=b=c"],)"
          R"("Entrypoint":["/init","--"],"Cmd":["run"],"Volumes":{"/v":{}},"WorkingDir":"/w",)"
          R"("Labels":{"a":"1","b":"2"},"StopSignal":"SIGINT","ArgsEscaped":true})");
    const auto again = image::parse_image_config(R"({"config":)" + got->config_json() + "}");
    REQUIRE(again);
    CHECK(again->config_json() == got->config_json());

    for (const auto* empty :
         {"{}", R"({"config":null,"rootfs":null})", R"({"config":{}})",
          R"({"config":{"Env":null,"Entrypoint":null,"Cmd":null,"Labels":null}})",
          R"({"config":{"Env":[],"Entrypoint":[],"Cmd":"","Labels":{},"User":""}})"}) {
        INFO(empty);
        const auto config = image::parse_image_config(empty);
        REQUIRE(config);
        CHECK(config->config_json() == "{}");
        CHECK(config->entrypoint.empty());
    }
}

TEST_CASE("damaged image configurations are refused") {
    for (const auto* bad : {"", "[]", "{", R"({"config":[]})", R"({"config":{"Env":"x"}})",
                            R"({"config":{"Env":[1]}})", R"({"config":{"Cmd":{"a":1}}})",
                            R"({"config":{"Labels":{"a":{}}}})", R"({"architecture":5})",
                            R"({"rootfs":{"type":"windows","diff_ids":[]}})",
                            R"({"rootfs":{"type":"layers","diff_ids":["x"]}})",
                            R"({"rootfs":{"diff_ids":"x"}})", R"({"config":{"Env":["A=\u0000"]}})",
                            R"({"config":{"WorkingDir":"/a\u0000b"}})", "{\"os\":\"\xFF\"}"}) {
        INFO(bad);
        const auto got = image::parse_image_config(bad);
        REQUIRE(!got);
        CHECK((got.error().code == Code::source_protocol || got.error().code == Code::media_type));
    }
}

TEST_CASE("times of RFC 3339") {
    CHECK(image::parse_rfc3339("1970-01-01T00:00:00Z") == 0);
    CHECK(image::parse_rfc3339("2026-11-21T00:17:24.999999999Z") == 1795220244);
    CHECK(image::parse_rfc3339("2026-11-21T02:17:24+02:00") == 1795220244);
    CHECK(image::parse_rfc3339("2026-11-20T18:47:24-05:30") == 1795220244);
    CHECK(image::parse_rfc3339("0001-01-01T00:00:00Z") == -62135596800);
    for (const auto* bad :
         {"", "2026-11-21", "2026-11-21 00:17:24Z", "2026-13-21T00:17:24Z", "2026-11-21T00:17:24",
          "2026-11-21T00:17:24.Z", "2026-11-21T00:17:24+2:00", "2026-11-21T25:17:24Z",
          "x026-11-21T00:17:24Z", "2026-11-21T00:17:24ZZ"}) {
        INFO(bad);
        CHECK(!image::parse_rfc3339(bad));
    }
}

TEST_CASE("layouts and archives") {
    CHECK(image::check_layout_marker(R"({"imageLayoutVersion":"1.0.0"})"));
    CHECK(image::check_layout_marker(R"({"imageLayoutVersion":"1.0.1"})"));
    CHECK(!image::check_layout_marker(R"({"imageLayoutVersion":"2.0.0"})"));
    CHECK(!image::check_layout_marker("{}"));
    CHECK(!image::check_layout_marker("x"));
    const auto got = image::parse_archive_manifest(
        R"([{"Config":"./c.json","RepoTags":["a:1"],"Layers":["./l/layer.tar","m.tar"]},
            {"Config":"d.json","RepoTags":null,"Layers":null}])");
    REQUIRE(got);
    REQUIRE(got->size() == 2);
    CHECK((*got)[0].config == "c.json");
    CHECK((*got)[0].layers == std::vector<std::string>{"l/layer.tar", "m.tar"});
    CHECK((*got)[1].repo_tags.empty());
    for (const auto* bad :
         {"{}", "[1]", R"([{"Layers":[]}])", R"([{"Config":"c","Layers":"x"}])", ""}) {
        INFO(bad);
        CHECK(!image::parse_archive_manifest(bad));
    }
}

TEST_CASE("a configuration that no label calls one is judged by its content") {
    const auto config = image::parse_image_config(
        R"({"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[")" +
        std::string(digest_a) + R"("]}})");
    REQUIRE(config);
    for (const std::string type : {"application/octet-stream", "application/json", "text/html", "",
                                   "text/plain; charset=utf-8", "binary/octet-stream"}) {
        INFO(type);
        const auto parsed = manifest_in(manifest(type, {image::media::docker_layer_gzip}));
        REQUIRE(parsed);
        CHECK(image::require_image(*parsed));
        CHECK(image::require_image(*parsed, *config));
        // What old clients of artifact registries wrote: an empty configuration and a tar layer.
        const auto no_image = image::require_image(*parsed, *image::parse_image_config("{}"));
        REQUIRE(!no_image);
        CHECK(no_image.error().code == Code::media_type);
    }
    const auto labelled =
        manifest_in(manifest(image::media::oci_config, {image::media::oci_layer_tar}));
    CHECK(image::require_image(*labelled, *image::parse_image_config("{}")));
    CHECK(image::parse_document(R"({"mediaType":"application/json","manifests":[]})"));
}

TEST_CASE("entries without a platform are kept apart") {
    const auto entry = [](std::string_view platform) {
        auto text = descriptor(image::media::oci_manifest);
        text.insert(text.size() - 1, platform);
        return text;
    };
    const auto index = image::parse_index(
        R"({"manifests":[)" + entry("") + "," + entry(R"(,"platform":null)") + "," +
        entry(R"(,"platform":{})") + "," +
        entry(R"(,"platform":{"os":"unknown","architecture":"unknown"})") + "," +
        entry(R"(,"platform":{"architecture":"arm64"})") + "]}");
    REQUIRE(index);
    CHECK(image::unlabelled_entries(*index).size() == 3);
    CHECK(image::select_platform(*index, *image::parse_platform("arm64")));
    const auto none = image::select_platform(*index, *image::parse_platform("amd64"));
    REQUIRE(!none);
    CHECK(none.error().code == Code::platform_mismatch);
}

TEST_CASE("commands that name nothing are none, as Docker has it") {
    const auto config = [](const std::string& text) {
        return *image::parse_image_config(R"({"config":)" + text + "}");
    };
    using Words = std::vector<std::string>;
    for (const std::string none : {R"([""])", R"("")", "[]", "null", "[null]"}) {
        INFO(none);
        const auto entrypoint = config(R"({"Entrypoint":)" + none + R"(,"Cmd":["ls"]})");
        CHECK(entrypoint.entrypoint.empty());
        CHECK(entrypoint.cmd == Words{"ls"});
        CHECK(config(R"({"Cmd":)" + none + "}").cmd.empty());
    }
    CHECK(config(R"({"Entrypoint":["x"],"Cmd":[""]})").cmd == Words{""});
    CHECK(config(R"({"Entrypoint":["","x"]})").entrypoint == Words{"", "x"});
    CHECK(config(R"({"Entrypoint":"x y"})").entrypoint == Words{"x y"});
    CHECK(config(R"({"Env":["A",null,"B=1"],"WorkingDir":null,"User":null})").env ==
          Words{"A", "", "B=1"});
}
