// SPDX-License-Identifier: Apache-2.0
#include "squashfs/compressors.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <set>

using namespace slipway::squashfs;

TEST_CASE("every row of the table is found by number and by name") {
    std::set<std::string_view> names;
    for (const auto& row : compressors) {
        CHECK(find_compressor(static_cast<std::uint16_t>(row.id)) == &row);
        CHECK(find_compressor(row.name) == &row);
        CHECK(&facts_of(row.id) == &row);
        CHECK(names.insert(row.name).second);
        CHECK(row.has_level(row.default_level) == row.written());
    }
    CHECK(std::size(compressors) == 6);
    const auto written = written_compressors();
    CHECK(std::count_if(std::begin(compressors), std::end(compressors),
                        [](const auto& row) { return row.written(); }) ==
          static_cast<std::ptrdiff_t>(written.size()));
    CHECK(highest_level() == 22);
    CHECK(find_compressor(0) == nullptr);
    CHECK(find_compressor(7) == nullptr);
    CHECK(find_compressor("bzip2") == nullptr);
    CHECK(find_compressor("") == nullptr);
}

TEST_CASE("levels are those of the format's own tools") {
    const auto& zstd = facts_of(Compressor::zstd);
    CHECK(zstd.has_level(1));
    CHECK(zstd.has_level(22));
    CHECK_FALSE(zstd.has_level(0));
    CHECK_FALSE(zstd.has_level(23));
    CHECK(facts_of(Compressor::gzip).has_level(9));
    CHECK_FALSE(facts_of(Compressor::gzip).has_level(10));
    CHECK_FALSE(facts_of(Compressor::xz).has_level(0));
    CHECK(levels_text(zstd) == "zstd has levels 1 to 22");
    CHECK(zstd.default_level == 3);
    CHECK(facts_of(Compressor::gzip).default_level == 6);
    CHECK(default_compressor == Compressor::zstd);
}
