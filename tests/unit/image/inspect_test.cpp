// SPDX-License-Identifier: Apache-2.0
#include "base/fd.hpp"
#include "image/inspect.hpp"
#include "image/sif.hpp"
#include "tests/support/skip.hpp"
#include "tests/unit/image/support.hpp"

#include <catch2/catch.hpp>
#include <fcntl.h>

using namespace slipway;
using base::Code;
using Catch::Contains;

namespace {

base::Result<image::SifInfo> read(int fd) {
    return image::read_sif(fd, test::size_of(fd));
}

const std::string with_app = R"({"data":{"attributes":{
    "labels":{"b":"2","a":"1"},"deffile":"bootstrap: x","runscript":"#!/bin/sh\nrun","test":"#!/bin/sh\ntest",
    "helpfile":"help me","environment":{"/.singularity.d/env/90-environment.sh":"export X=1"},
    "apps":{"foo":{"runscript":"#!/bin/sh\nfoo","labels":{"l":"m"}},"bar":{}}}},"type":"container"})";

} // namespace

TEST_CASE("labels are the default, other parts on request") {
    const auto metadata = image::parse_metadata(with_app);
    REQUIRE(metadata);
    CHECK(*image::metadata_text(*metadata, {}) == "a: 1\nb: 2\n");
    CHECK(*image::metadata_text(*metadata, {.deffile = true}) == "bootstrap: x\n");
    CHECK(*image::metadata_text(*metadata, {.runscript = true}) == "#!/bin/sh\nrun\n");
    CHECK(*image::metadata_text(*metadata, {.helpfile = true}) == "help me\n");
    CHECK(*image::metadata_text(*metadata, {.test = true}) == "#!/bin/sh\ntest\n");
    CHECK((*image::metadata_text(*metadata, {.startscript = true})).empty());
    CHECK(*image::metadata_text(*metadata, {.apps = true}) == "bar\nfoo\n");
    CHECK_THAT(*image::metadata_text(*metadata, {.environment = true}), Contains("export X=1"));
    CHECK(*image::metadata_text(*metadata, {.runscript = true}, "foo") == "#!/bin/sh\nfoo\n");
    CHECK(*image::metadata_text(*metadata, {}, "foo") == "l: m\n");
    const auto missing = image::metadata_text(*metadata, {}, "nosuch");
    REQUIRE(!missing);
    CHECK(missing.error().code == Code::image_not_found);
}

TEST_CASE("JSON has the envelope that programs expect") {
    const auto metadata = image::parse_metadata(with_app);
    REQUIRE(metadata);
    CHECK(*image::metadata_json(*metadata, {}) ==
          "{\n\t\"data\": {\n\t\t\"attributes\": {\n\t\t\t\"labels\": {\n\t\t\t\t\"a\": \"1\",\n"
          "\t\t\t\t\"b\": \"2\"\n\t\t\t}\n\t\t}\n\t},\n\t\"type\": \"container\"\n}\n");
    const auto all = image::metadata_json_compact(*metadata, image::MetadataParts::all());
    const auto again = image::parse_metadata(all);
    REQUIRE(again);
    CHECK(image::metadata_json_compact(*again, image::MetadataParts::all()) == all);
    CHECK(again->apps.at("foo").labels.at("l") == "m");
    const auto app = image::metadata_json(*metadata, {.runscript = true}, "foo");
    REQUIRE(app);
    CHECK_THAT(*app, Contains("\"apps\"") && Contains("foo") && !Contains("bootstrap"));
    CHECK(!image::metadata_json(*metadata, {}, "nosuch"));
}

TEST_CASE("labels cannot drive the terminal") {
    const auto metadata =
        image::parse_metadata(R"({"data":{"attributes":{"labels":{"a":"\u001b[31m\nx"}}}})");
    REQUIRE(metadata);
    CHECK(*image::metadata_text(*metadata, {}) == "a: \\x1b[31m\\x0ax\n");
}

TEST_CASE("damaged metadata is an error") {
    CHECK(image::parse_metadata("{}"));
    CHECK(image::parse_metadata(R"({"data":{}})"));
    CHECK(image::parse_metadata(R"({"data":null,"type":null})"));
    for (const auto* bad :
         {"", "[]", "{", R"({"data":[]})", R"({"data":{"attributes":5}})", R"({"type":1})",
          R"({"data":{"attributes":{"labels":[]}}})", R"({"data":{"attributes":{"runscript":{}}}})",
          R"({"data":{"attributes":{"apps":{"a":1}}}})", R"({"data":{"attributes":{"apps":[]}}})",
          R"({"data":{"attributes":{"environment":{"a":1}}}})"}) {
        INFO(bad);
        const auto got = image::parse_metadata(bad);
        REQUIRE(!got);
        CHECK(got.error().code == Code::image_corrupt);
    }
    CHECK(image::parse_labels(R"({"a":"b","n":1,"t":true})")->at("n") == "1");
    CHECK(!image::parse_labels("[]"));
}

TEST_CASE("an empty tree has empty metadata, an unreadable one is an error") {
    image::ImageFiles files{.read =
                                [](const std::string&) {
                                    return base::Result<std::optional<std::string>>(std::nullopt);
                                },
                            .list =
                                [](const std::string&) {
                                    return base::Result<std::vector<std::string>>(
                                        std::vector<std::string>());
                                }};
    const auto got = image::collect_metadata(files);
    REQUIRE(got);
    CHECK(got->labels.empty());
    CHECK(got->runscript.empty());
    files.read = [](const std::string&) -> base::Result<std::optional<std::string>> {
        return base::fail(Code::io, "broken");
    };
    CHECK(image::collect_metadata(files).error().code == Code::io);
}

TEST_CASE("apps are collected from the tree") {
    const std::map<std::string, std::string> tree = {
        {"/scif/apps/foo/scif/runscript", "#!/bin/sh\nfoo\n"},
        {"/scif/apps/foo/scif/labels.json", R"({"l":"m"})"},
        {"/scif/apps/foo/scif/env/90-environment.sh", "X=1\n"},
    };
    const image::ImageFiles files{
        .read = [&](const std::string& path) -> base::Result<std::optional<std::string>> {
            const auto found = tree.find(path);
            return found == tree.end() ? std::nullopt : std::optional(found->second);
        },
        .list = [&](const std::string& path) -> base::Result<std::vector<std::string>> {
            return path == "/scif/apps" ? std::vector<std::string>{"foo"}
                   : path == "/scif/apps/foo/scif/env"
                       ? std::vector<std::string>{"90-environment.sh"}
                       : std::vector<std::string>{};
        }};
    const auto got = image::collect_metadata(files);
    REQUIRE(got);
    CHECK(got->apps.at("foo").runscript == "#!/bin/sh\nfoo");
    CHECK(got->apps.at("foo").labels.at("l") == "m");
    CHECK(got->apps.at("foo").environment.at("/scif/apps/foo/scif/env/90-environment.sh") == "X=1");
}

TEST_CASE("the metadata of an image of another tool") {
    const auto sample = test::sample("busybox_amd64.sif");
    if (sample.empty()) {
        return;
    }
    const auto fd = base::open_file(sample, O_RDONLY);
    REQUIRE(fd);
    const auto sif = read(fd->get());
    REQUIRE(sif);
    const auto text = image::read_inspect_metadata(fd->get(), *sif);
    REQUIRE(text);
    const auto metadata = image::parse_metadata(*text);
    REQUIRE(metadata);
    CHECK(metadata->deffile == "BootStrap: docker\nFrom: busybox:1.33.1");
    CHECK(metadata->startscript == "#!/bin/sh");
    CHECK_THAT(*image::metadata_text(*metadata, {}),
               Contains("org.label-schema.usage.singularity.version: 3.8.1\n"));
    CHECK(metadata->environment.size() == 2);
}
