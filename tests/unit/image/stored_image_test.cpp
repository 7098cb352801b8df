// SPDX-License-Identifier: Apache-2.0
#include "base/path.hpp"
#include "base/temp_dir.hpp"
#include "image/stored_image.hpp"
#include "tests/support/skip.hpp"

#include <catch2/catch.hpp>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

using namespace slipway;
using image::open_stored_image;

namespace {

const std::string id(64, 'a');

base::Code code_of(const base::Result<image::OpenImage>& opened) {
    return opened ? base::Code::internal : opened.error().code;
}

} // namespace

TEST_CASE("images of the store are opened by id, and only what the store has made") {
    auto dir = base::TempDir::create("slipway-store-image");
    REQUIRE(dir);
    const std::string root = dir->path();
    const auto path = image::stored_image_path(root, id);
    CHECK(path == root + "/images/" + id + ".sif");
    CHECK(image::parse_stored_image_path(path)->store == root);
    CHECK(image::parse_stored_image_path(path)->id == id);
    for (const auto& other : {root + "/images/" + id, root + "/" + id + ".sif", "images/" + id + ".sif",
                              root + "/images/x.sif", std::string()}) {
        CHECK_FALSE(image::parse_stored_image_path(other));
    }
    CHECK(code_of(open_stored_image(root + "/none", id, {})) == base::Code::image_unreadable);
    CHECK(code_of(open_stored_image(root, id, {})) == base::Code::image_not_found);
    REQUIRE(::mkdir((root + "/images").c_str(), 0755) == 0);
    CHECK(code_of(open_stored_image(root, id, {})) == base::Code::image_not_found);
    std::ofstream(path) << "image";
    CHECK(open_stored_image(root, id, {}));
    CHECK(open_stored_image(root, id, ::geteuid()));
    CHECK(code_of(open_stored_image(root, id, ::geteuid() + 1)) == base::Code::image_unreadable);

    SECTION("a symlink in its place, or for its directory") {
        std::filesystem::rename(path, root + "/elsewhere");
        std::filesystem::create_symlink(root + "/elsewhere", path);
        CHECK(code_of(open_stored_image(root, id, {})) == base::Code::image_unreadable);
        std::filesystem::remove(path);
        std::filesystem::rename(root + "/elsewhere", path);
        std::filesystem::rename(root + "/images", root + "/moved");
        std::filesystem::create_symlink("moved", root + "/images");
        CHECK(code_of(open_stored_image(root, id, {})) == base::Code::image_unreadable);
    }
    SECTION("another kind of file, without waiting for it") {
        std::filesystem::remove(path);
        REQUIRE(::mkfifo(path.c_str(), 0644) == 0);
        CHECK(code_of(open_stored_image(root, id, {})) == base::Code::image_unreadable);
    }
    SECTION("what others may write to") {
        REQUIRE(::chmod(path.c_str(), 0666) == 0);
        CHECK(code_of(open_stored_image(root, id, {})) == base::Code::image_unreadable);
        REQUIRE(::chmod(path.c_str(), 0644) == 0);
        REQUIRE(::chmod((root + "/images").c_str(), 0777) == 0);
        CHECK(code_of(open_stored_image(root, id, {})) == base::Code::image_unreadable);
    }
    SECTION("what belongs to somebody else") {
        if (::geteuid() != 0) {
            test::skip("needs root to make files of others");
            return;
        }
        REQUIRE(::lchown(path.c_str(), 12345, 12345) == 0);
        CHECK(code_of(open_stored_image(root, id, {})) == base::Code::image_unreadable);
        REQUIRE(::lchown((root + "/images").c_str(), 12345, 12345) == 0);
        REQUIRE(::lchown(root.c_str(), 12345, 12345) == 0);
        CHECK(open_stored_image(root, id, {})); // a whole store of theirs
        CHECK(code_of(open_stored_image(root, id, ::geteuid())) == base::Code::image_unreadable);
    }
}
