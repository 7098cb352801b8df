// SPDX-License-Identifier: Apache-2.0
#include "image/reference.hpp"

#include <catch2/catch.hpp>

using namespace slipway;

namespace {

const std::string hex(64, 'a');
const std::string digest = "sha256:" + hex;

struct Row {
    std::string written;
    std::string canonical;
};

} // namespace

TEST_CASE("references get their defaults") {
    const std::vector<Row> rows = {
        {"alpine", "docker.io/library/alpine:latest"},
        {"alpine:3.19", "docker.io/library/alpine:3.19"},
        {"library/alpine", "docker.io/library/alpine:latest"},
        {"docker.io/alpine", "docker.io/library/alpine:latest"},
        {"index.docker.io/library/alpine", "docker.io/library/alpine:latest"},
        {"registry-1.docker.io/a/b:c", "docker.io/a/b:c"},
        {"user/repo", "docker.io/user/repo:latest"},
        {"a/b/c/d", "docker.io/a/b/c/d:latest"},
        {"nvcr.io/nvidia/pytorch:24.05-py3", "nvcr.io/nvidia/pytorch:24.05-py3"},
        {"NVCR.io/nvidia/pytorch", "nvcr.io/nvidia/pytorch:latest"},
        {"localhost/x", "localhost/x:latest"},
        {"localhost:5000/x:1", "localhost:5000/x:1"},
        {"127.0.0.1:5000/a/b", "127.0.0.1:5000/a/b:latest"},
        {"[::1]:5000/x", "[::1]:5000/x:latest"},
        {"host:5000/x/y@" + digest, "host:5000/x/y@" + digest},
        {"alpine@" + digest, "docker.io/library/alpine@" + digest},
        {"alpine:3.19@" + digest, "docker.io/library/alpine:3.19@" + digest},
        {"a__b/c-d/e---f.g_h", "docker.io/a__b/c-d/e---f.g_h:latest"},
        {"x:_tag", "docker.io/library/x:_tag"},
        {"x:A.b-C_9", "docker.io/library/x:A.b-C_9"},
        {"x:" + std::string(128, 't'), "docker.io/library/x:" + std::string(128, 't')},
        {"foo.bar/baz", "foo.bar/baz:latest"},
        {"ubuntu.sif", "docker.io/library/ubuntu.sif:latest"},
    };
    for (const auto& row : rows) {
        INFO(row.written);
        const auto got = image::parse_reference(row.written);
        REQUIRE(got);
        CHECK(got->text() == row.canonical);
        const auto again = image::parse_reference(got->text());
        REQUIRE(again);
        CHECK(*again == *got);
    }
}

TEST_CASE("what is no reference is refused with a reason") {
    // clang-format off
    const std::vector<std::string> rows = {
        "", " ", "alpine ", "al pine", "Alpine", "library/Alpine", "Library/alpine", "a//b", "/a",
        "a/", "a:", "a:b:c", ":tag", "a:-tag", "a:.tag", "a:b/c d", "a@", "a@sha256:abc",
        "a@md5:" + hex, "@" + digest, "-a", "a-", "a..b", "a___b", "_a", "a_", ".a", "a.",
        "docker://alpine", "http://x/y", "host:0/x", "host:65536/x", "host:port/x", "-host.com/x",
        "host-.com/x", "a..b.com/x", "ho_st.com/x", "[::1/x", "[a:::51001:0..d]/x", "[:::]/x",
        "x:" + std::string(129, 't'), std::string(256, 'a'), std::string(250, 'a') /* too long behind library/ */, hex, "a\nb",
        "a\tb", "\xC3\xA4pfel", "a@" + digest + "@" + digest, "localhost", "..", "../x", "a/../b",
        "a/./b", "https:alpine",
    };
    // clang-format on
    for (const auto& written : rows) {
        if (written == "localhost" || written == "https:alpine") {
            CHECK(image::parse_reference(written)); // names like any other
            continue;
        }
        INFO(written);
        const auto got = image::parse_reference(written);
        REQUIRE(!got);
        CHECK(got.error().code == base::Code::reference_invalid);
        CHECK(!got.error().message.empty());
        CHECK(!got.error().hint.empty());
    }
    CHECK(image::parse_reference("library/Alpine").error().hint.find("library/alpine") !=
          std::string::npos);
}

TEST_CASE("a reference knows how the registry wants to be asked") {
    const auto hub = image::parse_reference("alpine:3");
    CHECK(hub->api_host() == "registry-1.docker.io");
    CHECK(hub->manifest_selector() == "3");
    const auto pinned = image::parse_reference("nvcr.io/x:3@" + digest);
    CHECK(pinned->api_host() == "nvcr.io");
    CHECK(pinned->manifest_selector() == digest);
    CHECK(pinned->name() == "nvcr.io/x");
}

TEST_CASE("enroot's spellings are understood") {
    const std::vector<Row> rows = {
        {"nvcr.io#nvidia/pytorch:24.05-py3", "nvcr.io/nvidia/pytorch:24.05-py3"},
        {"localhost:5000#x", "localhost:5000/x:latest"},
        {"myhost#team/img:1", "myhost:443/team/img:1"},
        {"docker.io#alpine", "docker.io/library/alpine:latest"},
        {"reg.example#a.b/c", "reg.example/a.b/c:latest"},
        {"reg.example#x@" + digest, "reg.example/x@" + digest},
        {"alpine:3", "docker.io/library/alpine:3"},
    };
    for (const auto& row : rows) {
        INFO(row.written);
        const auto got = image::parse_reference_or_enroot(row.written);
        REQUIRE(got);
        CHECK(got->text() == row.canonical);
    }
    CHECK(!image::parse_reference_or_enroot("#alpine"));
    CHECK(!image::parse_reference_or_enroot("nvcr.io#"));
    CHECK(!image::parse_reference_or_enroot("a#b#c"));
}

TEST_CASE("library references") {
    struct Library {
        std::string written, host, path, full, tag;
    };
    const std::vector<Library> rows = {
        {"alpine", "", "alpine", "library/default/alpine", "latest"},
        {"//alpine:3.11", "", "alpine", "library/default/alpine", "3.11"},
        {"//coll/img", "", "coll/img", "library/coll/img", "latest"},
        {"//ent/coll/img:1,2", "", "ent/coll/img", "ent/coll/img", "1"},
        {"//host.example:8080/ent/coll/img:1", "host.example:8080", "ent/coll/img", "ent/coll/img",
         "1"},
        {"a/b/c", "", "a/b/c", "a/b/c", "latest"},
        {"///a/b/c", "", "a/b/c", "a/b/c", "latest"},
        {"//ent/coll/img:sha256." + hex, "", "ent/coll/img", "ent/coll/img", "sha256." + hex},
    };
    for (const auto& row : rows) {
        INFO(row.written);
        const auto got = image::parse_library_reference(row.written);
        REQUIRE(got);
        CHECK(got->host == row.host);
        CHECK(got->path == row.path);
        CHECK(got->full_path() == row.full);
        CHECK(got->tags.front() == row.tag);
    }
    for (const auto* bad : {"", "//", "//a/b/c/d/e", "a/b/c/d", "//a:", "//a:1,", "//a:b:c",
                            "//a//b", "//a?x", "//u@h/a/b/c", "//a b", "//a/"}) {
        INFO(bad);
        CHECK(!image::parse_library_reference(bad));
    }
}

TEST_CASE("hub references") {
    const auto got = image::parse_shub_reference("//vsoch/hello-world:v1@abc123");
    REQUIRE(got);
    CHECK(got->registry == "singularity-hub.org");
    CHECK(got->user == "vsoch");
    CHECK(got->container == "hello-world");
    CHECK(got->tag == "v1");
    CHECK(got->commit == "abc123");
    const auto local = image::parse_shub_reference("//127.0.0.1:8080/u/c");
    REQUIRE(local);
    CHECK(local->registry == "127.0.0.1:8080");
    CHECK(local->tag == "latest");
    for (const auto* bad : {"//", "//a", "//a/b/c/d", "//a/", "//u/c:", "//u/c@", "//x y/c"}) {
        INFO(bad);
        CHECK(!image::parse_shub_reference(bad));
    }
}

TEST_CASE("every spelling of a registry is one reference") {
    const std::vector<std::pair<std::string, std::string>> rows = {
        {"nvcr.io:443/nvidia/x:1", "nvcr.io/nvidia/x:1"},
        {"NVCR.io/nvidia/x:1", "nvcr.io/nvidia/x:1"},
        {"nvcr.io./nvidia/x:1", "nvcr.io/nvidia/x:1"},
        {"nvcr.io:0443/nvidia/x:1", "nvcr.io/nvidia/x:1"},
        {"127.0.0.1:021055/x:1", "127.0.0.1:21055/x:1"},
        {"127.1:21055/x:1", "127.0.0.1:21055/x:1"},
        {"[0::1]:5000/x:1", "[::1]:5000/x:1"},
        {"registry-1.docker.io:443/alpine", "docker.io/library/alpine:latest"},
        {"registry.hub.docker.com/library/alpine", "docker.io/library/alpine:latest"},
        {"Index.Docker.io/alpine", "docker.io/library/alpine:latest"},
        {"localhost:443/x:1", "localhost/x:1"},
    };
    for (const auto& [written, canonical] : rows) {
        INFO(written);
        const auto parsed = slipway::image::parse_reference(written);
        REQUIRE(parsed);
        CHECK(parsed->text() == canonical);
        CHECK(slipway::image::parse_reference(canonical)->text() == canonical);
    }
    CHECK(slipway::image::parse_library_reference("//Lib.site:443/a/b/c")->host == "lib.site");
}
