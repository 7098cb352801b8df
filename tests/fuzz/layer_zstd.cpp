// SPDX-License-Identifier: Apache-2.0
#include "prefetch/convert/inflate.hpp"

#include <array>

using namespace slipway::prefetch::convert;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 1) {
        return 0;
    }
    const std::size_t piece = data[0] + 1U;
    std::span<const std::uint8_t> in(data + 1, size - 1);
    const auto inflater = make_zstd_inflater();
    std::array<std::uint8_t, 5000> buffer;
    std::size_t total = 0;
    while (!in.empty() && total < (4U << 20U)) {
        auto part = in.first(std::min(piece, in.size()));
        in = in.subspan(part.size());
        for (;;) {
            const auto step = inflater->step(part, buffer);
            if (!step) {
                return 0;
            }
            part = part.subspan(step->consumed);
            total += step->produced;
            if ((step->consumed == 0 && step->produced == 0) || total >= (4U << 20U)) {
                break;
            }
        }
    }
    (void)inflater->finish().has_value();
    return 0;
}
