// SPDX-License-Identifier: Apache-2.0
// The column "encode" of compressors.hpp.
#include "squashfs/codec/encoder.hpp"

#include "squashfs/codec/encoder_makers.hpp"

#include <algorithm>

namespace slipway::squashfs::codec {
namespace {

struct Row {
    Compressor id;
    std::unique_ptr<Encoder> (*make)(int level);
};
constexpr Row encoders[] = {
    {Compressor::zstd, &make_zstd_encoder},
    {Compressor::gzip, &make_gzip_encoder},
};

constexpr bool those_with_levels_have_one() {
    for (const auto& facts : compressors) {
        if (facts.written() != std::any_of(std::begin(encoders), std::end(encoders),
                                           [&](const Row& row) { return row.id == facts.id; })) {
            return false;
        }
    }
    return true;
}
static_assert(those_with_levels_have_one());

} // namespace

std::unique_ptr<Encoder> make_encoder(Compressor compressor, int level) {
    for (const auto& row : encoders) {
        if (row.id == compressor && facts_of(compressor).has_level(level)) {
            return row.make(level);
        }
    }
    return nullptr;
}

} // namespace slipway::squashfs::codec
