// SPDX-License-Identifier: Apache-2.0
#include "base/temp_dir.hpp"
#include "launcher/root_image.hpp"

#include <catch2/catch.hpp>
#include <sys/stat.h>

#include <fstream>

using namespace slipway;
using namespace slipway::launcher;
using join::Switch;

namespace {

/// Opened and not read: what is in the files does not matter here.
struct Area {
    Area() {
        for (const char* name : {"tree", "one", "two"}) {
            REQUIRE(::mkdir((path + "/" + name).c_str(), 0755) == 0);
        }
        for (const char* name : {"image.sif", "a.sqsh", "b.sqsh"}) {
            std::ofstream(path + "/" + name) << "x";
        }
        request.cwd = path;
        request.image = "image.sif";
    }
    std::string order() {
        const auto roots = open_root_images(request, {});
        if (!roots) {
            return roots.error().one_line();
        }
        std::string text;
        for (const auto& root : *roots) {
            text += root.name + (root.writable ? "+ " : " ");
        }
        return text;
    }

    base::TempDir directory = std::move(*base::TempDir::create("slipway-roots"));
    std::string path = directory.path();
    join::Request request;
};

} // namespace

TEST_CASE("roots: the first overlay is the top, one that is written to above all") {
    Area area;
    CHECK(area.order() == "image.sif ");
    area.request.overlays = {{"a.sqsh", false}, {"b.sqsh", true}};
    CHECK(area.order() == "image.sif b.sqsh a.sqsh ");
    area.request.overlays = {{"a.sqsh", false}, {"one", false}, {"two", true}};
    CHECK(area.order() == "image.sif two a.sqsh one+ ");
    area.request.writable = Switch::on;
    CHECK_THAT(area.order(), Catch::StartsWith("usage: the overlay 'one' is writable"));
    area.request.overlays = {{"a.sqsh", false}, {"one", true}};
    CHECK(area.order() == "image.sif one a.sqsh ");
}

TEST_CASE("roots: contradictions are told before anything is set up") {
    Area area;
    area.request.overlays = {{"one", false}, {"two", false}};
    CHECK_THAT(area.order(),
               Catch::StartsWith("usage: the overlays 'one' and 'two' would both be writable"));
    area.request.overlays.clear();
    area.request.write_image = true;
    CHECK_THAT(area.order(), Catch::StartsWith("usage: --writable: the image 'image.sif' is a file") &&
                                 Catch::Contains("--overlay") && Catch::Contains("--writable-tmpfs"));
    area.request.image = "tree";
    CHECK(area.order() == "tree+ ");
    area.request.overlays = {{"a.sqsh", true}};
    CHECK_THAT(area.order(), Catch::StartsWith("usage: --writable writes into the image itself"));
    area.request.overlays.clear();
    area.request.writable = Switch::on;
    CHECK_THAT(area.order(), Catch::StartsWith("usage: --writable writes into the image itself"));
}

TEST_CASE("roots: an overlay that is not there") {
    Area area;
    area.request.overlays = {{"none", false}};
    CHECK_THAT(area.order(), Catch::StartsWith("image-not-found: overlay 'none': ") &&
                                 Catch::Contains("(hint: make the directory first"));
    area.request.overlays.assign(13, {"a.sqsh", true});
    CHECK_THAT(area.order(), Catch::StartsWith("limit-exceeded: 13 overlays are too many"));
}
