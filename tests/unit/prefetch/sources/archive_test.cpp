// SPDX-License-Identifier: Apache-2.0
#include "base/format.hpp"
#include "base/path.hpp"
#include "base/temp_dir.hpp"
#include "prefetch/sources/file_tree.hpp"
#include "tests/unit/prefetch/sources/image_fixture.hpp"

#include <catch2/catch.hpp>

#include <cstdlib>
#include <cstring>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace slipway;
using namespace slipway::prefetch::sources;
using namespace slipway::prefetch::transfer;
using base::Code;
using test::FakeImage;

namespace {

/// A ustar archive, entry by entry.
class TarWriter {
  public:
    TarWriter& file(const std::string& name, const std::string& content) {
        header(name, content.size(), '0', "");
        bytes_ += content;
        bytes_.resize((bytes_.size() + 511) / 512 * 512);
        return *this;
    }
    TarWriter& link(const std::string& name, const std::string& target, char type = '2') {
        header(name, 0, type, target);
        return *this;
    }
    std::string done() { return bytes_ + std::string(1024, '\0'); }

  private:
    void header(const std::string& name, std::size_t size, char type, const std::string& target) {
        std::string block(512, '\0');
        const auto put = [&](std::size_t at, const std::string& text) { block.replace(at, text.size(), text); };
        put(0, name);
        put(100, "0000644");
        put(108, "0000000");
        put(116, "0000000");
        put(124, fmt::format("{:011o}", size));
        put(136, "00000000000");
        put(148, "        ");
        block[156] = type;
        put(157, target);
        put(257, std::string("ustar\0" "00", 8));
        unsigned sum = 0;
        for (const char c : block) {
            sum += static_cast<unsigned char>(c);
        }
        put(148, fmt::format("{:06o}", sum) + std::string(1, '\0'));
        bytes_ += block;
    }
    std::string bytes_;
};

struct Bench {
    base::TempDir dir = *base::TempDir::create("archives");
    base::UniqueFd spool = *base::open_file(dir.path(), O_PATH | O_DIRECTORY);
    SourceContext context;

    Bench() {
        context.config = std::make_shared<config::Config>();
        context.spool = spool.get();
    }
    std::string path(const std::string& name) const { return base::join_path(dir.path(), name); }
    void write(const std::string& name, const std::string& content) {
        const auto where = path(name);
        REQUIRE(base::make_directories(std::string(base::dir_name(where)), 0700));
        const auto fd = base::open_file(where, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        REQUIRE(fd);
        REQUIRE(base::write_all(fd->get(), content));
    }
    void layout(const std::string& name, const std::string& index, const std::vector<FakeImage>& images) {
        write(name + "/oci-layout", R"({"imageLayoutVersion":"1.0.0"})");
        write(name + "/index.json", index);
        for (const auto& image : images) {
            for (const auto& [digest, bytes] : image.blobs) {
                write(name + "/blobs/sha256/" + digest.substr(7), bytes);
            }
        }
    }
    base::Result<ResolvedImage> resolve(image::Transport transport, const std::string& name,
                                        const std::string& selector = "",
                                        const char* platform = "linux/amd64") {
        image::ImageUri uri;
        uri.transport = transport;
        uri.path = path(name);
        uri.selector = selector;
        uri.written = "test";
        TRY_ASSIGN(auto source, make_source(uri, context));
        TRY_ASSIGN(const auto head, source->head(*image::parse_platform(platform), {}));
        TRY_ASSIGN(auto image, source->resolve(*image::parse_platform(platform), {}));
        CHECK(head.digest == image.root_digest);
        return image;
    }
};

std::string read_layer(const image::LayerInput& layer) {
    auto source = layer.open();
    INFO((source ? "" : source.error().one_line()));
    REQUIRE(source);
    std::string all;
    std::vector<std::uint8_t> buffer(7);
    for (;;) {
        auto got = (*source)->read(buffer);
        REQUIRE(got);
        if (*got == 0) {
            return all;
        }
        all.append(reinterpret_cast<const char*>(buffer.data()), *got);
    }
}

std::string entry(const FakeImage& image, const std::string& name, const char* architecture = nullptr) {
    std::string more;
    if (!name.empty()) {
        more += R"(,"annotations":{"org.opencontainers.image.ref.name":")" + name + "\"}";
    }
    if (architecture != nullptr) {
        more += fmt::format(R"(,"platform":{{"os":"linux","architecture":"{}"}})", architecture);
    }
    return test::descriptor(image::media::oci_manifest, image.manifest, more);
}

std::string save_manifest(const std::string& config, const std::vector<std::string>& layers,
                          const std::string& tag) {
    std::string list;
    for (const auto& layer : layers) {
        list += (list.empty() ? "\"" : ",\"") + layer + "\"";
    }
    return R"({"Config":")" + config + R"(","RepoTags":[")" + tag + R"("],"Layers":[)" + list + "]}";
}

constexpr auto oci = image::Transport::oci;
constexpr auto oci_archive = image::Transport::oci_archive;
constexpr auto docker_archive = image::Transport::docker_archive;

} // namespace

TEST_CASE("OCI layouts") {
    Bench bench;
    const auto one = test::make_image();
    const auto two = test::make_image("arm64", {"arm layer"});
    SECTION("one image needs no name") {
        bench.layout("l", test::make_index({entry(one, "")}), {one});
        auto image = bench.resolve(oci, "l");
        INFO((image ? "" : image.error().one_line()));
        REQUIRE(image);
        CHECK(image->manifest_digest.text() == one.manifest_digest);
        CHECK(image->origin_kind == "oci");
        CHECK(test::layered(*image).counters == nullptr); // nothing is downloaded
        CHECK(read_layer(test::layered(*image).layers[1]) == "top layer");
        CHECK(read_layer(test::layered(*image).layers[1]) == "top layer");
        CHECK(image->canonical_reference == "oci:" + bench.path("l"));
    }
    SECTION("several need one") {
        bench.layout("l", test::make_index({entry(one, "a"), entry(two, "b")}), {one, two});
        auto image = bench.resolve(oci, "l");
        REQUIRE_FALSE(image);
        CHECK(image.error().code == Code::source_not_found);
        CHECK(image.error().hint.find("a, b") != std::string::npos);
        CHECK(bench.resolve(oci, "l", "a"));
        CHECK(bench.resolve(oci, "l", "@0"));
        CHECK(bench.resolve(oci, "l", "@1", "linux/arm64"));
        CHECK(bench.resolve(oci, "l", "@" + one.manifest_digest));
        CHECK_FALSE(bench.resolve(oci, "l", "@2"));
        CHECK_FALSE(bench.resolve(oci, "l", "c"));
        CHECK_FALSE(bench.resolve(oci, "l", "A"));
        auto foreign = bench.resolve(oci, "l", "b");
        REQUIRE_FALSE(foreign);
        CHECK(foreign.error().code == Code::platform_mismatch);
    }
    SECTION("several platforms of one image") {
        bench.layout("l", test::make_index({entry(one, "x", "amd64"), entry(two, "x", "arm64")}), {one, two});
        CHECK(bench.resolve(oci, "l", "x")->manifest_digest.text() == one.manifest_digest);
        CHECK(bench.resolve(oci, "l", "", "linux/arm64")->manifest_digest.text() == two.manifest_digest);
        CHECK_FALSE(bench.resolve(oci, "l", "x", "linux/s390x"));
    }
    SECTION("damage") {
        bench.layout("l", test::make_index({entry(one, "")}), {one});
        const auto blob = [](const std::string& digest) { return "l/blobs/sha256/" + digest.substr(7); };
        bench.write(blob(one.manifest_digest), one.manifest + " ");
        CHECK(bench.resolve(oci, "l").error().code == Code::digest_mismatch);
        bench.write(blob(one.manifest_digest), one.manifest);
        REQUIRE(::unlink(bench.path(blob(test::digest_of(one.config))).c_str()) == 0);
        CHECK(bench.resolve(oci, "l").error().code == Code::source_not_found);
        REQUIRE(::mkfifo(bench.path(blob(test::digest_of(one.config))).c_str(), 0600) == 0);
        CHECK(bench.resolve(oci, "l").error().code == Code::source_not_found);
        bench.write("l/oci-layout", R"({"imageLayoutVersion":"2.0.0"})");
        CHECK_FALSE(bench.resolve(oci, "l"));
    }
    SECTION("nothing there") {
        CHECK(bench.resolve(oci, "none").error().code == Code::source_not_found);
        bench.write("file", "x");
        CHECK_FALSE(bench.resolve(oci, "file"));
    }
}

TEST_CASE("OCI layouts in archives, also compressed") {
    Bench bench;
    const auto one = test::make_image();
    TarWriter tar;
    for (const auto& [digest, bytes] : one.blobs) {
        tar.file("./blobs/sha256/" + digest.substr(7), bytes);
    }
    tar.file("index.json", test::make_index({entry(one, "app")}));
    tar.file("oci-layout", R"({"imageLayoutVersion":"1.0.0"})");
    bench.write("a.tar", tar.done());
    const std::string tool = GENERATE(as<std::string>(), "cat", "gzip -c", "bzip2 -c", "xz -c", "zstd -c");
    INFO(tool);
    if (std::system(("command -v " + tool.substr(0, tool.find(' ')) + " >/dev/null").c_str()) == 0) {
        REQUIRE(std::system((tool + " " + bench.path("a.tar") + " > " + bench.path("a.out")).c_str()) == 0);
        auto image = bench.resolve(oci_archive, "a.out", "app");
        INFO((image ? "" : image.error().one_line()));
        REQUIRE(image);
        CHECK(read_layer(test::layered(*image).layers[0]) == "bottom layer");
        CHECK(read_layer(test::layered(*image).layers[1]) == "top layer");
        CHECK(image->origin_kind == "oci-archive");
    }
}

TEST_CASE("docker archives") {
    Bench bench;
    const auto one = test::make_image();
    const auto top = one.layers[1];
    SECTION("the usual, with manifest.json at the end and linked layers") {
        bench.write("d.tar", TarWriter()
                                 .file("cfg.json", one.config)
                                 .file("l0/layer.tar", one.layers[0])
                                 .file("shared.tar", top)
                                 .link("l1/layer.tar", "../shared.tar")
                                 .link("l2/layer.tar", "l1/layer.tar", '1')
                                 .file("manifest.json", "[" + save_manifest("cfg.json",
                                                                           {"l0/layer.tar", "l2/layer.tar"},
                                                                           "app:1") + "]")
                                 .done());
        auto image = bench.resolve(docker_archive, "d.tar");
        INFO((image ? "" : image.error().one_line()));
        REQUIRE(image);
        CHECK(read_layer(test::layered(*image).layers[0]) == "bottom layer");
        CHECK(read_layer(test::layered(*image).layers[1]) == "top layer");
        CHECK(test::layered(*image).layers[1].blob.digest.text() == test::digest_of(top));
        CHECK(test::layered(*image).layers[1].blob.size == top.size());
        CHECK(image->manifest_digest.text() == test::digest_of(test::layered(*image).manifest_json));
        CHECK(test::layered(*image).config_json == one.config);
        CHECK(bench.resolve(docker_archive, "d.tar", "docker.io/library/app:1"));
        CHECK(bench.resolve(docker_archive, "d.tar", "@0"));
        CHECK_FALSE(bench.resolve(docker_archive, "d.tar", "app:2"));
        CHECK_FALSE(bench.resolve(docker_archive, "d.tar", "@1"));
    }
    SECTION("compressed layers are hashed") {
        bench.write("layer", top);
        REQUIRE(std::system(("gzip -nf " + bench.path("layer")).c_str()) == 0);
        const auto packed = base::read_file(bench.path("layer.gz"), 1000);
        const auto single = test::make_image("amd64", {top});
        bench.write("d.tar", TarWriter()
                                 .file("manifest.json", "[" + save_manifest("c", {"x"}, "a") + "]")
                                 .file("c", single.config)
                                 .file("x", *packed)
                                 .done());
        auto image = bench.resolve(docker_archive, "d.tar");
        REQUIRE(image);
        CHECK(test::layered(*image).layers[0].blob.digest.text() == test::digest_of(*packed));
        CHECK(test::layered(*image).layers[0].diff_id.text() == test::digest_of(top));
        CHECK(read_layer(test::layered(*image).layers[0]) == *packed);
    }
}

TEST_CASE("docker archives with several images, and broken ones") {
    Bench bench;
    const auto one = test::make_image();
    SECTION("several images") {
        bench.write("d.tar",
                    TarWriter()
                        .file("manifest.json", "[" + save_manifest("c", {"a", "b"}, "one") + "," +
                                                   save_manifest("c", {"a", "b"}, "two") + "]")
                        .file("c", one.config)
                        .file("a", one.layers[0])
                        .file("b", one.layers[1])
                        .done());
        auto image = bench.resolve(docker_archive, "d.tar");
        REQUIRE_FALSE(image);
        CHECK(image.error().hint.find("one, two") != std::string::npos);
        CHECK(bench.resolve(docker_archive, "d.tar", "two"));
        CHECK(bench.resolve(docker_archive, "d.tar", "@1"));
    }
}

TEST_CASE("docker archives that are broken are refused") {
    Bench bench;
    const auto one = test::make_image();
    bench.write("old.tar", TarWriter().file("repositories", "{}").done());
    CHECK(bench.resolve(docker_archive, "old.tar").error().code == Code::unsupported);
    bench.write("plain.tar", TarWriter().file("x", "y").done());
    CHECK(bench.resolve(docker_archive, "plain.tar").error().code == Code::source_protocol);
    bench.write("loop.tar", TarWriter()
                                .file("manifest.json", "[" + save_manifest("c", {"a", "b"}, "x") + "]")
                                .file("c", one.config)
                                .link("a", "b")
                                .link("b", "a")
                                .done());
    CHECK(bench.resolve(docker_archive, "loop.tar").error().code == Code::source_not_found);
    bench.write("few.tar", TarWriter()
                               .file("manifest.json", "[" + save_manifest("c", {"a"}, "x") + "]")
                               .file("c", one.config)
                               .file("a", "x")
                               .done());
    CHECK(bench.resolve(docker_archive, "few.tar").error().code == Code::source_protocol);
    bench.write("junk.tar", std::string(5000, 'j'));
    CHECK(bench.resolve(docker_archive, "junk.tar").error().code == Code::source_protocol);
    bench.write("empty.tar", "");
    CHECK_FALSE(bench.resolve(docker_archive, "empty.tar"));
    CHECK(bench.resolve(docker_archive, "none.tar").error().code == Code::source_not_found);
}

TEST_CASE("an archive under the other kind's name is recognised") {
    Bench bench;
    bench.write("docker.tar", TarWriter().file("manifest.json", "[]").done());
    const auto wrong = bench.resolve(oci_archive, "docker.tar");
    REQUIRE_FALSE(wrong);
    CHECK(wrong.error().message.find("is a Docker archive") != std::string::npos);
    CHECK(wrong.error().hint == "name it as docker-archive:" + bench.path("docker.tar"));

    bench.write("oci.tar", TarWriter()
                               .file("oci-layout", R"({"imageLayoutVersion":"1.0.0"})")
                               .file("index.json", "{}")
                               .done());
    const auto reverse = bench.resolve(docker_archive, "oci.tar");
    REQUIRE_FALSE(reverse);
    CHECK(reverse.error().message.find("is an OCI archive") != std::string::npos);
    CHECK(reverse.error().hint == "name it as oci-archive:" + bench.path("oci.tar"));

    bench.write("dir/manifest.json", "{}");
    CHECK(bench.resolve(image::Transport::oci, "dir").error().message.find("not an OCI layout") !=
          std::string::npos);
    bench.write("neither.tar", TarWriter().file("x", "y").done());
    CHECK(bench.resolve(oci_archive, "neither.tar").error().message.find("has no index.json") !=
          std::string::npos);
}

TEST_CASE("an archive that unpacks to too much is refused") {
    Bench bench;
    bench.write("big.tar", TarWriter().file("x", std::string(1 << 20, 'x')).done());
    REQUIRE(std::system(("gzip -f " + bench.path("big.tar")).c_str()) == 0);
    CHECK(open_tar_tree(bench.path("big.tar.gz"), bench.spool.get(), 2 << 20));
    auto tree = open_tar_tree(bench.path("big.tar.gz"), bench.spool.get(), 1 << 19);
    REQUIRE_FALSE(tree);
    CHECK(tree.error().code == Code::limit_exceeded);
}
