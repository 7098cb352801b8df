// SPDX-License-Identifier: Apache-2.0
#include "launcher/devices/ld_so_cache.hpp"
#include "tests/unit/launcher/driver_files.hpp"

#include <catch2/catch.hpp>

namespace slipway::test {
namespace {

using launcher::devices::parse_loader_cache;
using Names = std::vector<std::string>;

Names names_in(const std::string& bytes) {
    const auto parsed = parse_loader_cache(bytes);
    if (!parsed) {
        return {"error: " + parsed.error().message};
    }
    Names names;
    for (const auto& library : *parsed) {
        names.push_back(std::string(library.name) + "=" + std::string(library.path));
    }
    return names;
}

const Names damaged{"error: the loader's cache is damaged"};
const std::vector<CacheEntry> two{{"libb.so.1", "/lib/libb.so.1"}, {"liba.so", "/lib/liba.so"}};

} // namespace

TEST_CASE("loader cache: the new format, in its order") {
    CHECK(names_in(new_cache(two)) == Names{"libb.so.1=/lib/libb.so.1", "liba.so=/lib/liba.so"});
    CHECK(names_in(new_cache({})).empty());
    // Before glibc 2.33 nobody said which byte order it has.
    CHECK(names_in(new_cache(two, 0)).size() == 2);
}

TEST_CASE("loader cache: the old format, alone and in front of the new one") {
    CHECK(names_in(old_cache(two)) == Names{"libb.so.1=/lib/libb.so.1", "liba.so=/lib/liba.so"});
    CHECK(names_in(old_cache({two[0]}, new_cache({two[1]}))) == Names{"liba.so=/lib/liba.so"});
    CHECK(names_in(old_cache(two, new_cache({two[1]}))) == Names{"liba.so=/lib/liba.so"});
}

TEST_CASE("loader cache: libraries for special processors are left out") {
    CHECK(names_in(new_cache({{"liba.so", "/lib/glibc-hwcaps/x/liba.so", 0x0303, 1ULL << 62U},
                              {"liba.so", "/lib/liba.so"}})) == Names{"liba.so=/lib/liba.so"});
}

TEST_CASE("loader cache: flags come back for the caller to choose by") {
    const auto bytes = new_cache({{"liba.so", "/lib32/liba.so", i386_flags}});
    const auto parsed = parse_loader_cache(bytes);
    REQUIRE(parsed);
    CHECK(parsed->at(0).flags == i386_flags);
}

TEST_CASE("loader cache: what is no cache, cut, or of another byte order") {
    CHECK(names_in("") == damaged);
    CHECK(names_in("#!/bin/sh\n") == damaged);
    CHECK(names_in(new_cache(two, 3)) == damaged);
    for (const auto& whole : {new_cache(two), old_cache(two)}) {
        for (std::size_t size = 0; size < whole.size(); ++size) {
            INFO(size);
            CHECK(names_in(whole.substr(0, size)) == damaged);
        }
    }
}

TEST_CASE("loader cache: names and paths that are none") {
    for (const CacheEntry& entry :
         {CacheEntry{"", "/lib/a"}, CacheEntry{"a/b", "/lib/a"}, CacheEntry{"liba.so", ""},
          CacheEntry{"liba.so", "lib/a"}, CacheEntry{std::string(256, 'a'), "/lib/a"},
          CacheEntry{"liba.so", "/" + std::string(4095, 'a')}}) {
        CHECK(names_in(new_cache({entry})) == damaged);
        CHECK(names_in(old_cache({entry})) == damaged);
    }
    CHECK(names_in(new_cache({{std::string(255, 'a'), "/" + std::string(4094, 'a')}})).size() == 1);
}

TEST_CASE("loader cache: a count that the file cannot hold costs nothing") {
    auto bytes = new_cache(two);
    bytes[23] = '\x7f';
    CHECK(names_in(bytes) == Names{"error: the loader's cache has too many entries"});
    bytes = old_cache(two);
    bytes[15] = '\x7f';
    CHECK(names_in(bytes) == damaged);
}

} // namespace slipway::test
