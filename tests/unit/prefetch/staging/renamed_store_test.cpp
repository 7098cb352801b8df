// SPDX-License-Identifier: Apache-2.0
// A store below a directory in which somebody else may rename: whatever they put in its place,
// nothing is written there, and no image of theirs is opened.
#include "base/fd.hpp"
#include "base/format.hpp"
#include "base/path.hpp"
#include "image/stored_image.hpp"
#include "stager_bench.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <atomic>
#include <cstdio>
#include <filesystem>
#include <map>
#include <thread>

using namespace slipway;
using namespace slipway::test;

namespace {

constexpr uid_t mallory = 23456;
constexpr const char* theirs = "EVIL";

void write_text(const std::string& path, const std::string& text) {
    const auto file = base::open_file(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    REQUIRE(file);
    REQUIRE(base::write_all(file->get(), text));
}

std::map<std::string, std::string> contents(const std::string& root) {
    std::map<std::string, std::string> found;
    for (const auto& each : std::filesystem::recursive_directory_iterator(root)) {
        found[each.path()] =
            each.is_regular_file() ? base::read_file(each.path(), 1U << 20U).value_or("?") : "";
    }
    return found;
}

/// A directory that looks like a store, but for the mark when it is the user's own.
std::string decoy(const std::string& path, bool foreign) {
    for (const auto* part : {"", "/images", "/refs", "/grants", "/pins", "/leases", "/tmp"}) {
        std::filesystem::create_directories(path + part);
    }
    write_text(path + "/thesis", "chapter one");
    if (foreign) {
        write_text(path + "/slipway-store", "slipway image store 1\n");
    }
    return path;
}

/// Gives a decoy to its owner; theirs is open to everybody, so that only our rules keep us out.
void give_away(const std::string& path, bool foreign) {
    if (!foreign) {
        return;
    }
    REQUIRE(::lchown(path.c_str(), mallory, mallory) == 0);
    for (const auto& each : std::filesystem::recursive_directory_iterator(path)) {
        REQUIRE(::lchown(each.path().c_str(), mallory, mallory) == 0);
        REQUIRE(::chmod(each.path().c_str(), each.is_directory() ? 0755 : 0555) == 0);
    }
}

bool exchange(const std::string& one, const std::string& other) {
    return ::renameat2(AT_FDCWD, one.c_str(), AT_FDCWD, other.c_str(), RENAME_EXCHANGE) == 0;
}

std::string text_of(const base::Result<image::OpenImage>& open) {
    return open ? base::read_to_end(open->fd.get(), 100).value_or("unreadable") : "none";
}

} // namespace

TEST_CASE("a store that is replaced while an image is fetched gets nothing written elsewhere") {
    const bool foreign = GENERATE(true, false) && ::geteuid() == 0; // it takes root to be two users
    Bench bench;
    const auto store = bench.dir.path() + "/store";
    const auto other = decoy(bench.dir.path() + "/other", foreign);
    const auto stager = bench.stager();
    std::map<std::string, std::string> before;
    bench.registry.resolving = [&] {
        for (const auto& work : std::filesystem::directory_iterator(store + "/tmp")) {
            std::filesystem::create_directories(other + "/tmp/" + work.path().filename().string());
        }
        give_away(other, foreign);
        before = contents(other);
        REQUIRE(exchange(store, other));
    };
    (void)bench.stage(*stager);
    REQUIRE(exchange(store, other));
    CHECK_FALSE(before.empty());
    CHECK(contents(other) == before);
    bench.registry.resolving = {};
    const auto staged = bench.stage(*stager);
    REQUIRE(staged);
    CHECK(text_of(stager->open_image(*staged)) == "SIF");
}

TEST_CASE("a store that is renamed back and forth is written to and read from, or nothing is") {
    const bool foreign = GENERATE(true, false) && ::geteuid() == 0; // it takes root to be two users
    constexpr int images = 40;
    Bench bench;
    const auto store = bench.dir.path() + "/store";
    const auto other = decoy(bench.dir.path() + "/other", foreign);
    {
        const auto elsewhere = bench.stager("elsewhere");
        for (int i = 0; i < images; ++i) {
            bench.registry.manifest = std::to_string(i);
            const auto staged = bench.stage(*elsewhere);
            REQUIRE(staged);
            write_text(other + "/images/" + staged->id + ".sif", theirs);
        }
    }
    give_away(other, foreign);
    const auto before = contents(other);
    const auto stager = bench.stager();
    std::atomic<bool> enough{false};
    std::thread attacker([&] {
        constexpr int rounds = 20000;
        bool moved = false;
        for (int round = 0; round < rounds && !enough; ++round) {
            moved = exchange(store, other) != moved;
        }
        if (moved) {
            (void)exchange(store, other);
        }
    });
    int opened = 0;
    for (int i = 0; i < images; ++i) {
        bench.registry.manifest = std::to_string(i);
        const auto staged = bench.stage(*stager);
        if (!staged) {
            continue;
        }
        const auto by_store = text_of(stager->open_image(*staged));
        const auto by_launcher =
            text_of(image::open_stored_image(store, staged->id, ::geteuid()));
        opened += by_store == "SIF" ? 1 : 0;
        if (foreign) {
            CHECK(by_store != theirs);
            CHECK(by_launcher != theirs);
        }
    }
    enough = true;
    attacker.join();
    INFO(opened << " images were opened");
    CHECK(contents(other) == before);
}
