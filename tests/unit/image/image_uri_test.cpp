// SPDX-License-Identifier: Apache-2.0
#include "image/reference.hpp"

#include <catch2/catch.hpp>

#include <set>

using namespace slipway;
using image::Transport;

namespace {

const std::string digest = "sha256:" + std::string(64, 'a');

image::PathExists only(std::set<std::string> paths) {
    return [paths = std::move(paths)](const std::string& path) { return paths.contains(path); };
}

} // namespace

TEST_CASE("words are paths, URIs or unclear") {
    using image::ImageWord;
    const std::vector<std::pair<std::string, ImageWord>> rows = {
        {"/a/b.sif", ImageWord::path},
        {"./x", ImageWord::path},
        {"../x", ImageWord::path},
        {".", ImageWord::path},
        {"~/x.sif", ImageWord::path},
        {"./a#b", ImageWord::path},
        {"/docker://x", ImageWord::path},
        {"docker://x", ImageWord::uri},
        {"docker:x", ImageWord::uri},
        {"oci:dir", ImageWord::uri},
        {"nvcr.io#x", ImageWord::uri},
        {"instance://i", ImageWord::uri},
        {"https://h/x.sif", ImageWord::uri},
        {"ubuntu", ImageWord::unclear},
        {"images/x.sif", ImageWord::unclear},
        {"localhost:5000/x", ImageWord::unclear},
        {"oras:x", ImageWord::unclear},
        {"ubuntu:24.04", ImageWord::unclear},
    };
    for (const auto& [text, word] : rows) {
        INFO(text);
        CHECK(*image::classify_image_word(text) == word);
    }
    const auto typo = image::classify_image_word("dokcer://alpine");
    REQUIRE(!typo);
    CHECK(typo.error().hint.find("docker://") != std::string::npos);
    CHECK(!image::classify_image_word(""));
    CHECK(!image::classify_image_word("podman://x"));
}

TEST_CASE("an unclear word is a file when there is one, else a reference") {
    const auto parse = [](const std::string& text, std::set<std::string> files) {
        return image::parse_image(text, only(std::move(files)));
    };
    CHECK(parse("ubuntu", {})->text() == "docker://docker.io/library/ubuntu:latest");
    CHECK(parse("ubuntu", {"ubuntu"})->transport == Transport::file);
    CHECK(parse("ubuntu", {"ubuntu"})->path == "ubuntu");
    CHECK(parse("images/x.sif", {})->transport == Transport::file); // a typo, not a reference
    CHECK(parse("x.sqsh", {})->transport == Transport::file);
    CHECK(parse("user/img:1", {"user"})->transport == Transport::docker);
    CHECK(parse("/nowhere", {})->transport == Transport::file);
    CHECK(parse("docker://ubuntu", {"docker://ubuntu"})->transport == Transport::docker);
    CHECK(image::parse_image("ubuntu")->transport == Transport::docker);
    const auto library = image::parse_image("alpine:3.11", {}, Transport::library);
    REQUIRE(library);
    CHECK(library->text() == "library://library/default/alpine:3.11");
    CHECK(!parse("Ubuntu", {}));
}

TEST_CASE("every transport has one canonical text") {
    const std::vector<std::pair<std::string, std::string>> rows = {
        {"docker:alpine", "docker://docker.io/library/alpine:latest"},
        {"docker://alpine@" + digest, "docker://docker.io/library/alpine@" + digest},
        {"docker://nvcr.io#nvidia/x:1", "docker://nvcr.io/nvidia/x:1"},
        {"nvcr.io#nvidia/x:1", "docker://nvcr.io/nvidia/x:1"},
        {"oras://ghcr.io/a/b:1", "oras://ghcr.io/a/b:1"},
        {"library://a/b/c:1", "library://a/b/c:1"},
        {"library:x", "library://library/default/x:latest"},
        {"shub://u/c", "shub://singularity-hub.org/u/c:latest"},
        {"https://h/p/x.sif?v=1", "https://h/p/x.sif?v=1"},
        {"oci:dir:name", "oci:dir:name"},
        {"oci:///abs/dir:name", "oci:/abs/dir:name"},
        {"oci:dir@" + digest, "oci:dir@" + digest},
        {"oci:dir:@1", "oci:dir:@1"},
        {"oci-archive:x.tar", "oci-archive:x.tar"},
        {"docker-archive://x.tar:alpine:3.19", "docker-archive:x.tar:alpine:3.19"},
        {"docker-daemon:alpine:3", "docker-daemon:alpine:3"},
        {"dockerd://alpine:3", "docker-daemon:alpine:3"},
        {"instance://web-1", "instance://web-1"},
        {"file:///a/b.sif", "file:/a/b.sif"},
        {"/a/b.sif", "file:/a/b.sif"},
    };
    for (const auto& [written, canonical] : rows) {
        INFO(written);
        const auto got = image::parse_image(written);
        REQUIRE(got);
        CHECK(got->text() == canonical);
        CHECK(got->written == written);
    }
    CHECK(image::parse_image("oras://h/x")->is_remote());
    CHECK(!image::parse_image("oci:x")->is_remote());
}

TEST_CASE("enroot's user goes in front, passwords nowhere") {
    const auto got = image::parse_image("docker://$oauthtoken@nvcr.io#nvidia/x:1");
    REQUIRE(got);
    CHECK(got->user == "$oauthtoken");
    CHECK(got->text() == "docker://nvcr.io/nvidia/x:1");
    const auto bare = image::parse_image("me@nvcr.io#nvidia/x");
    REQUIRE(bare);
    CHECK(bare->user == "me");
    const auto both = image::parse_image("docker://me@host.x#a@" + digest);
    REQUIRE(both);
    CHECK(both->user == "me");
    CHECK(both->text() == "docker://host.x/a@" + digest);
    for (const std::string bad : {"docker://me:secret@nvcr.io#x", "docker://me:secret@nvcr.io/x",
                                  "https://me:secret@h/x.sif"}) {
        const auto refused = image::parse_image(bad);
        INFO(bad);
        REQUIRE(!refused);
        CHECK(refused.error().one_line().find("secret") == std::string::npos);
    }
    CHECK(!image::parse_image("alpine@sha1:" + std::string(40, 'b')));
    CHECK(!image::parse_image("docker://a/b@c"));
}

TEST_CASE("the border between a path and a name is found on the file system") {
    const auto split = [](const std::string& text, std::set<std::string> files) {
        const auto uri = image::parse_image_uri(text, only(std::move(files)));
        REQUIRE(uri);
        return std::pair(uri->path, uri->selector);
    };
    using Pair = std::pair<std::string, std::string>;
    CHECK(split("oci:dir", {}) == Pair("dir", ""));
    CHECK(split("oci:dir:alpine:3.19", {}) == Pair("dir", "alpine:3.19"));
    CHECK(split("oci:dir:alpine:3.19", {"dir"}) == Pair("dir", "alpine:3.19"));
    CHECK(split("oci:dir:alpine:3.19", {"dir:alpine"}) == Pair("dir:alpine", "3.19"));
    CHECK(split("oci:dir:alpine:3.19", {"dir:alpine:3.19", "dir"}) == Pair("dir:alpine:3.19", ""));
    CHECK(split("oci:d:x@" + digest, {"d:x"}) == Pair("d:x", "@" + digest));
    CHECK(split("oci:d@" + digest, {}) == Pair("d", "@" + digest));
    CHECK(split("docker-archive:/t/x.tar:@0", {}) == Pair("/t/x.tar", "@0"));
    for (const auto* bad : {"oci:", "oci://", "docker-archive:", "file:", "docker-daemon:"}) {
        INFO(bad);
        CHECK(!image::parse_image_uri(bad));
    }
    CHECK(!image::parse_image_uri("alpine"));
    CHECK(!image::parse_image_uri("./x"));
}

TEST_CASE("URLs need a host and a file") {
    for (const auto* bad :
         {"https://", "https://host", "https://host/", "https:///x", "http://h/a b"}) {
        INFO(bad);
        CHECK(!image::parse_image_uri(bad));
    }
    CHECK(image::parse_image_uri("http://h:8080/a.sif"));
}

TEST_CASE("pull chooses a file name") {
    const std::vector<std::pair<std::string, std::string>> rows = {
        {"docker://alpine:3.19", "alpine_3.19.sif"},
        {"docker://nvcr.io/nvidia/pytorch", "pytorch_latest.sif"},
        {"docker://alpine@" + digest, "alpine_sha256.aaaaaaaaaaaa.sif"},
        {"library://a/b/c:1,2", "c_1.sif"},
        {"shub://u/c:t", "c_t.sif"},
        {"https://h/p/x.sif?v=1", "x.sif"},
        {"oci-archive:/a/img.tar", "img.sif"},
        {"oci:/a/dir/:x", "dir.sif"},
        {"docker-daemon:alpine:3.19", "alpine_3.19.sif"},
    };
    for (const auto& [written, name] : rows) {
        INFO(written);
        CHECK(image::default_file_name(*image::parse_image_uri(written)) == name);
    }
}

TEST_CASE("the table of transports has one row for each, with unique spellings") {
    std::set<Transport> transports;
    std::set<std::string_view> names;
    for (const auto& row : image::transport_table) {
        INFO(row.name);
        CHECK(transports.insert(row.transport).second);
        CHECK(names.insert(row.name).second);
        CHECK((row.alias.empty() || names.insert(row.alias).second));
        CHECK(&image::transport_row(row.transport) == &row);
        const auto split = image::split_transport(row.prefix() + "x/y");
        CHECK(split.row == &row);
        const bool with_slashes = image::split_transport(std::string(row.name) + "://x").row == &row;
        CHECK(with_slashes);
        const bool without = image::split_transport(std::string(row.name) + ":x").row == &row;
        CHECK(without == (row.form != image::Form::needs_slashes));
    }
    CHECK(transports.size() == static_cast<std::size_t>(Transport::instance) + 1);
    CHECK(image::split_transport("dockerd://x").row->transport == Transport::docker_daemon);
    CHECK(image::split_transport("dockerd:x").row == nullptr);
}

TEST_CASE("what is not built is not promised") {
    const auto fetched = image::transport_list(image::Use::fetch);
    CHECK(fetched == "docker://, oci:, oci-archive:, docker-archive: and file:");
    CHECK(image::transport_list(image::Use::start, "or") ==
          "docker://, oci:, oci-archive:, docker-archive: or file:");
    CHECK(image::transport_examples ==
          "docker://debian:12, oci:DIRECTORY, oci-archive:FILE, docker-archive:FILE or file:FILE");
    for (const auto& row : image::transport_table) {
        INFO(row.name);
        const auto uri = image::parse_image_uri(
            row.prefix() + (row.transport == Transport::instance ? "x" : "host/user/x"));
        REQUIRE(uri);
        const auto allowed = image::require_use(*uri, image::Use::start);
        CHECK(allowed.has_value() == (row.use != image::Use::none));
        if (!allowed) {
            CHECK(allowed.error().message.find(row.prefix()) != std::string::npos);
            CHECK(allowed.error().hint ==
                  (row.gives == image::Gives::file
                       ? "download the image file by other means and name that file"
                       : "use docker://, oci:, oci-archive:, docker-archive: or file:"));
        }
    }
    // Neither the list nor the guess names what cannot be used.
    const auto far = image::classify_image_word("zzzzzz://x");
    REQUIRE(!far);
    CHECK(far.error().hint == "known are docker://, oci:, oci-archive:, docker-archive: and file:");
    const auto near = image::classify_image_word("libary://x");
    REQUIRE(!near);
    CHECK(near.error().hint.find("library") == std::string::npos);
    CHECK(image::classify_image_word("oci-archiv://x").error().hint == "did you mean oci-archive:?");
}
