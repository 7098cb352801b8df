// SPDX-License-Identifier: Apache-2.0
#include "base/child.hpp"
#include "base/directory.hpp"
#include "base/path.hpp"
#include "base/process_mark.hpp"
#include "base/temp_dir.hpp"

#include <catch2/catch.hpp>
#include <csignal>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace slipway::base;

TEST_CASE("the current directory is absolute, or an error when it is gone") {
    auto dir = TempDir::create("slipway-test-");
    REQUIRE(dir);
    const auto before = current_directory();
    REQUIRE(before);
    CHECK(before->starts_with('/'));
    const auto gone = dir->path() + "/gone";
    REQUIRE(::mkdir(gone.c_str(), 0700) == 0);
    REQUIRE(::chdir(gone.c_str()) == 0);
    CHECK(*current_directory() == gone);
    REQUIRE(::rmdir(gone.c_str()) == 0);
    CHECK(current_directory().error().code == Code::system);
    REQUIRE(::chdir(before->c_str()) == 0);
}

TEST_CASE("what a killed process has left is removed by the next") {
    auto area = TempDir::create("slipway-test-");
    REQUIRE(area);
    {
        auto child = Child::fork([&] {
            auto dir = TempDir::create_and_sweep("work-", area->path());
            ::kill(::getpid(), SIGKILL);
            return dir ? 0 : 1;
        });
        REQUIRE(child);
        REQUIRE(child->wait());
    }
    REQUIRE(names_in(area->path())->size() == 1);
    for (const char* other : {"work-mine", "work-0123456789abcdef.99999999.1.XXXXXX", "work-1.2.3.4"}) {
        REQUIRE(::mkdir((area->path() + "/" + other).c_str(), 0700) == 0);
    }
    const auto first = TempDir::create_and_sweep("work-", area->path());
    const auto second = TempDir::create_and_sweep("work-", area->path());
    REQUIRE((first && second));
    // Both of this process, which lives, and the three that carry no mark of this host.
    CHECK(names_in(area->path())->size() == 5);
    CHECK_FALSE(is_mark_of_ended(process_mark()));
}

TEST_CASE("paths are cleaned lexically") {
    CHECK(clean_path("/a//b/./c/../d/") == "/a/b/d");
    CHECK(clean_path("/../../x") == "/x");
    CHECK(clean_path("a/../../b") == "../b");
    CHECK(clean_path("") == ".");
    CHECK(clean_path("/") == "/");
    CHECK(has_dotdot("a/../b"));
    CHECK_FALSE(has_dotdot("a/..b/c"));
}

TEST_CASE("prefixes are compared by component") {
    CHECK(is_beneath("/scratch/x", "/scratch"));
    CHECK(is_beneath("/scratch", "/scratch/"));
    CHECK_FALSE(is_beneath("/scratchy", "/scratch"));
    CHECK_FALSE(is_beneath("/scratch/../etc", "/scratch"));
    CHECK(is_beneath("/x", "/"));
}

TEST_CASE("names and joins") {
    CHECK(base_name("/a/b") == "b");
    CHECK(dir_name("/a") == "/");
    CHECK(dir_name("a") == ".");
    CHECK(join_path("/a", "b") == "/a/b");
    CHECK(join_path("/a/", "/b") == "/a/b");
}

TEST_CASE("opening in a root never leaves it") {
    auto dir = TempDir::create("slipway-path-");
    REQUIRE(dir);
    REQUIRE(make_directories(dir->path() + "/in/etc", 0755));
    REQUIRE(::symlink("/etc", (dir->path() + "/in/link").c_str()) == 0);
    REQUIRE(::symlink("../../..", (dir->path() + "/in/up").c_str()) == 0);
    auto root = open_file(dir->path() + "/in", O_PATH | O_DIRECTORY);
    REQUIRE(root);
    auto inside = open_in_root(root->get(), "/link", O_PATH);
    REQUIRE(inside);
    auto etc = open_file(dir->path() + "/in/etc", O_PATH);
    struct stat a {}, b {};
    REQUIRE(::fstat(inside->get(), &a) == 0);
    REQUIRE(::fstat(etc->get(), &b) == 0);
    CHECK(a.st_ino == b.st_ino);
    auto up = open_in_root(root->get(), "up", O_PATH);
    REQUIRE(up);
    REQUIRE(::fstat(up->get(), &a) == 0);
    REQUIRE(::fstat(root->get(), &b) == 0);
    CHECK(a.st_ino == b.st_ino);
    CHECK_FALSE(open_in_root(root->get(), "/proc/self/fd/0", O_PATH));
}
