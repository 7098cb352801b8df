// SPDX-License-Identifier: Apache-2.0
#include "base/temp_dir.hpp"
#include "base/trusted_path.hpp"

#include "tests/support/skip.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>

using namespace slipway;
using base::Code;

namespace {

constexpr uid_t other = 4711;

/// A tree below /tmp, which is sticky: whoever may write there changes nothing in it.
struct Tree {
    base::TempDir dir = *base::TempDir::create("trusted", "/tmp");
    std::string at(const std::string& name) const { return dir.path() + "/" + name; }
    Tree() {
        ::mkdir(at("a").c_str(), 0755);
        ::mkdir(at("a/b").c_str(), 0755);
        file("a/b/file");
    }
    void file(const std::string& name) const {
        const auto opened = base::open_file(at(name), O_CREAT | O_WRONLY, 0644);
        REQUIRE(opened);
        REQUIRE(base::write_all(opened->get(), "text"));
    }
    base::Result<base::UniqueFd> open(const std::string& name, uid_t owner = ::geteuid()) const {
        return base::open_trusted(at(name), O_RDONLY, owner, Code::config_insecure);
    }
    Code code(const std::string& name, uid_t owner = ::geteuid()) const {
        const auto opened = open(name, owner);
        return opened ? Code::internal : opened.error().code;
    }
};

} // namespace

TEST_CASE("a file of the owner in directories of the owner is opened") {
    const Tree tree;
    auto file = tree.open("a/b/file");
    REQUIRE(file);
    CHECK(base::read_to_end(file->get(), 10) == "text");
    CHECK(tree.open("a/b"));
    CHECK(tree.open("a/../a/./b//file"));
    CHECK(tree.open("a/none").error().sys_errno == ENOENT);
    CHECK(tree.open("a/b/file/x").error().sys_errno == ENOTDIR);
    CHECK(base::open_trusted("a/b", O_RDONLY, 0, Code::config_insecure).error().code ==
          Code::config_insecure);
    CHECK(base::open_trusted("/", O_RDONLY | O_DIRECTORY, 0, Code::config_insecure));
}

TEST_CASE("what others may write is refused, wherever on the way it is") {
    const Tree tree;
    for (const auto* part : {"a", "a/b", "a/b/file"}) {
        for (const mode_t mode : {0775, 0757}) {
            ::chmod(tree.at(part).c_str(), mode);
            CHECK(tree.code("a/b/file") == Code::config_insecure);
        }
        ::chmod(tree.at(part).c_str(), 0755);
    }
    ::chmod(tree.at("a").c_str(), 01777);
    CHECK(tree.open("a/b/file"));
}

TEST_CASE("links are followed only when they, their place and their target are trusted") {
    const Tree tree;
    REQUIRE(::symlink("b", tree.at("a/relative").c_str()) == 0);
    REQUIRE(::symlink(tree.at("a/b/file").c_str(), tree.at("a/absolute").c_str()) == 0);
    REQUIRE(::symlink("self", tree.at("a/self").c_str()) == 0);
    REQUIRE(::symlink("../..", tree.at("a/b/up").c_str()) == 0);
    CHECK(tree.open("a/relative/file"));
    CHECK(tree.open("a/absolute"));
    CHECK(tree.open("a/b/up/a/b/file"));
    CHECK(tree.open("a/b/up"));
    CHECK(tree.open("a/self").error().sys_errno == ELOOP);
    // The way of the link is fine, that of its target is not.
    ::chmod(tree.at("a/b").c_str(), 0777);
    CHECK(tree.code("a/absolute") == Code::config_insecure);
}

TEST_CASE("another user's directory, file or link is refused") {
    if (::geteuid() != 0) {
        test::skip("needs root to make files of another user");
    }
    const Tree tree;
    for (const auto* part : {"a", "a/b", "a/b/file"}) {
        REQUIRE(::lchown(tree.at(part).c_str(), other, 0) == 0);
        CHECK(tree.code("a/b/file") == Code::config_insecure);
        CHECK(tree.open("a/b/file", other)); // but trusted where that user is the owner
        REQUIRE(::lchown(tree.at(part).c_str(), 0, 0) == 0);
    }
    // Anybody may put a link into a sticky directory: it counts whose it is.
    ::chmod(tree.at("a").c_str(), 01777);
    REQUIRE(::symlink("b/file", tree.at("a/link").c_str()) == 0);
    CHECK(tree.open("a/link"));
    REQUIRE(::lchown(tree.at("a/link").c_str(), other, 0) == 0);
    CHECK(tree.code("a/link") == Code::config_insecure);
}
