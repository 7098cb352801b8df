// SPDX-License-Identifier: Apache-2.0
#include "prefetch/convert/inflate.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace slipway::prefetch::convert {

using base::Code;
using base::fail;
using base::Result;

namespace {

class PlainInflater final : public Inflater {
  public:
    Result<Step> step(std::span<const std::uint8_t> in, std::span<std::uint8_t> out) override {
        const std::size_t size = std::min(in.size(), out.size());
        std::copy_n(in.data(), size, out.data());
        return Step{size, size};
    }
    Result<void> finish() override { return {}; }
};

template <std::size_t N>
bool begins(std::span<const std::uint8_t> head, const std::array<std::uint8_t, N>& magic) {
    return head.size() >= N && std::memcmp(head.data(), magic.data(), N) == 0;
}

} // namespace

Result<Packing> sniff_packing(std::span<const std::uint8_t> head) {
    constexpr std::array<std::uint8_t, 2> gzip{0x1f, 0x8b};
    constexpr std::array<std::uint8_t, 4> zstd{0x28, 0xb5, 0x2f, 0xfd};
    constexpr std::array<std::uint8_t, 3> zstd_skippable{0x2a, 0x4d, 0x18}; // after one free byte
    constexpr std::array<std::uint8_t, 6> xz{0xfd, '7', 'z', 'X', 'Z', 0x00};
    constexpr std::array<std::uint8_t, 3> bzip2{'B', 'Z', 'h'};
    if (begins(head, gzip)) {
        return Packing::gzip;
    }
    if (begins(head, zstd) || (head.size() >= 4 && (head[0] & 0xf0U) == 0x50 &&
                               begins(head.subspan(1), zstd_skippable))) {
        return Packing::zstd;
    }
    if (begins(head, xz) || begins(head, bzip2)) {
        return fail(Code::unsupported, "the layer is compressed with xz or bzip2",
                    "repack the image with gzip or zstd layers, for example with "
                    "'skopeo copy --dest-compress-format gzip'");
    }
    return Packing::plain;
}

std::unique_ptr<Inflater> make_inflater(Packing packing, WindowPass windows) {
    switch (packing) {
    case Packing::gzip:
        return make_gzip_inflater();
    case Packing::zstd:
        return make_zstd_inflater(windows);
    case Packing::plain:
        break;
    }
    return std::make_unique<PlainInflater>();
}

} // namespace slipway::prefetch::convert
