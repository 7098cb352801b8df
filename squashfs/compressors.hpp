// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <span>
#include <string>
#include <string_view>

/// The SquashFS 4.0 format. This folder holds facts and needs no library; codec/ calls the
/// compression libraries, reader/ reads a file system without mounting it.
namespace slipway::squashfs {

/// Numbers as the superblock stores them.
enum class Compressor : std::uint16_t { gzip = 1, lzma = 2, lzo = 3, xz = 4, lz4 = 5, zstd = 6 };

/// What is known about one compressor. Everything that names, checks or chooses one asks this
/// table: site file, converter, image server, inspect. Its code is in codec/: every row has a
/// decoder, every row with levels has an encoder (both checked when compiled).
struct CompressorRow {
    Compressor id;
    std::string_view name;
    int lowest_level; ///< levels that the encoder takes; 0 to 0 where we do not write it
    int highest_level;
    int default_level;

    [[nodiscard]] constexpr bool written() const noexcept { return highest_level != 0; }
    [[nodiscard]] constexpr bool has_level(int level) const noexcept {
        return written() && level >= lowest_level && level <= highest_level;
    }
};

/// Those that we write come first, the preferred one at the top.
inline constexpr CompressorRow compressors[] = {
    // Fast both ways; Linux 4.14 and later, Apptainer. SingularityCE refuses it.
    {Compressor::zstd, "zstd", 1, 22, 3},
    // zlib streams: every reader knows them.
    {Compressor::gzip, "gzip", 1, 9, 6},
    {Compressor::xz, "xz", 0, 0, 0},
    {Compressor::lz4, "lz4", 0, 0, 0},
    {Compressor::lzo, "lzo", 0, 0, 0},
    {Compressor::lzma, "lzma", 0, 0, 0},
};
inline constexpr Compressor default_compressor = compressors[0].id;

constexpr std::span<const CompressorRow> written_compressors() noexcept {
    return {std::begin(compressors), std::find_if(std::begin(compressors), std::end(compressors),
                                                  [](const auto& row) { return !row.written(); })};
}
/// Of all that we write.
constexpr int highest_level() noexcept {
    int highest = 0;
    for (const auto& row : written_compressors()) {
        highest = std::max(highest, row.highest_level);
    }
    return highest;
}

/// Null for a number or name that nobody has defined.
constexpr const CompressorRow* find_compressor(std::uint16_t number) noexcept {
    for (const auto& row : compressors) {
        if (static_cast<std::uint16_t>(row.id) == number) {
            return &row;
        }
    }
    return nullptr;
}
constexpr const CompressorRow* find_compressor(std::string_view name) noexcept {
    for (const auto& row : compressors) {
        if (row.name == name) {
            return &row;
        }
    }
    return nullptr;
}

/// The row of a compressor. Every enumerator has one.
constexpr const CompressorRow& facts_of(Compressor compressor) noexcept {
    for (const auto& row : compressors) {
        if (row.id == compressor) {
            return row;
        }
    }
    return compressors[0];
}

/// "zstd has levels 1 to 22".
std::string levels_text(const CompressorRow& row);

} // namespace slipway::squashfs
