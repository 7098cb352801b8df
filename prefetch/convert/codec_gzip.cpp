// SPDX-License-Identifier: Apache-2.0
// The only file that uses libdeflate: half the time of zlib for the same size.
#include "prefetch/convert/block_codec.hpp"

#include <libdeflate.h>

namespace slipway::prefetch {

namespace {

struct FreeCompressor {
    void operator()(libdeflate_compressor* compressor) const noexcept {
        libdeflate_free_compressor(compressor);
    }
};

class GzipBlockCodec final : public BlockCodec {
  public:
    explicit GzipBlockCodec(int level) : compressor_(libdeflate_alloc_compressor(level)) {}

    [[nodiscard]] bool usable() const noexcept { return compressor_ != nullptr; }

    std::size_t compress(std::span<const std::uint8_t> in, std::span<std::uint8_t> out) override {
        return libdeflate_zlib_compress(compressor_.get(), in.data(), in.size(), out.data(),
                                        out.size());
    }

  private:
    std::unique_ptr<libdeflate_compressor, FreeCompressor> compressor_;
};

} // namespace

std::unique_ptr<BlockCodec> make_gzip_block_codec(int level) {
    auto codec = std::make_unique<GzipBlockCodec>(level);
    return codec->usable() ? std::move(codec) : nullptr;
}

std::unique_ptr<BlockCodec> make_block_codec(Compression compression, int level) {
    return compression == Compression::zstd ? make_zstd_block_codec(level)
                                            : make_gzip_block_codec(level);
}

int default_level(Compression compression) noexcept {
    return compression == Compression::zstd ? 3 : 6;
}

bool valid_level(Compression compression, int level) noexcept {
    return level >= 1 && level <= (compression == Compression::zstd ? 19 : 9);
}

} // namespace slipway::prefetch
