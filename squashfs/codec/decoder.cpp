// SPDX-License-Identifier: Apache-2.0
// The only file that knows the decompression libraries: the column "decode" of compressors.hpp.
#include "squashfs/codec/decoder.hpp"

#include <isa-l/igzip_lib.h>
#include <lz4.h>
#include <lzma.h>
#include <lzo/lzo1x.h>
#include <zstd.h>

#include <algorithm>

namespace slipway::squashfs::codec {
namespace {

/// Working memory of an xz or lzma stream may reach this: the largest block is 1 MiB, a dictionary
/// larger than that is of no use to an honest writer.
constexpr std::uint64_t lzma_memory = 32U << 20U;

class Zstd final : public Decoder {
  public:
    static std::unique_ptr<Decoder> make() {
        auto codec = std::make_unique<Zstd>();
        codec->context_.reset(ZSTD_createDCtx());
        return codec->context_ ? std::move(codec) : nullptr;
    }
    std::optional<std::size_t> decompress(std::span<const std::uint8_t> in,
                                          std::span<std::uint8_t> out) noexcept override {
        const std::size_t size =
            ZSTD_decompressDCtx(context_.get(), out.data(), out.size(), in.data(), in.size());
        return ZSTD_isError(size) != 0 ? std::nullopt : std::optional(size);
    }

  private:
    struct Free {
        void operator()(ZSTD_DCtx* context) const noexcept { ZSTD_freeDCtx(context); }
    };
    std::unique_ptr<ZSTD_DCtx, Free> context_;
};

class Gzip final : public Decoder {
  public:
    std::optional<std::size_t> decompress(std::span<const std::uint8_t> in,
                                          std::span<std::uint8_t> out) noexcept override {
        isal_inflate_init(&state_);
        state_.crc_flag = ISAL_ZLIB; // header and Adler-32 are read and checked
        state_.next_in = const_cast<std::uint8_t*>(in.data());
        state_.avail_in = static_cast<std::uint32_t>(in.size());
        state_.next_out = out.data();
        state_.avail_out = static_cast<std::uint32_t>(out.size());
        if (isal_inflate_stateless(&state_) != ISAL_DECOMP_OK ||
            state_.block_state != ISAL_BLOCK_FINISH) {
            return std::nullopt;
        }
        return state_.total_out;
    }

  private:
    inflate_state state_{};
};

/// xz, and lzma with its 13-byte header ("alone" format): one stream object used again and again,
/// so that its dictionary is allocated once.
class Lzma final : public Decoder {
  public:
    explicit Lzma(bool alone) noexcept : alone_(alone) {}
    Lzma(const Lzma&) = delete;
    Lzma& operator=(const Lzma&) = delete;
    ~Lzma() override { lzma_end(&stream_); }

    std::optional<std::size_t> decompress(std::span<const std::uint8_t> in,
                                          std::span<std::uint8_t> out) noexcept override {
        const lzma_ret ready = alone_ ? lzma_alone_decoder(&stream_, lzma_memory)
                                      : lzma_stream_decoder(&stream_, lzma_memory, 0);
        if (ready != LZMA_OK) {
            return std::nullopt;
        }
        stream_.next_in = in.data();
        stream_.avail_in = in.size();
        stream_.next_out = out.data();
        stream_.avail_out = out.size();
        if (lzma_code(&stream_, LZMA_FINISH) != LZMA_STREAM_END) {
            return std::nullopt;
        }
        return out.size() - stream_.avail_out;
    }

  private:
    lzma_stream stream_ = LZMA_STREAM_INIT;
    bool alone_;
};

class Lz4 final : public Decoder {
  public:
    std::optional<std::size_t> decompress(std::span<const std::uint8_t> in,
                                          std::span<std::uint8_t> out) noexcept override {
        const int size = LZ4_decompress_safe(
            reinterpret_cast<const char*>(in.data()), reinterpret_cast<char*>(out.data()),
            static_cast<int>(in.size()), static_cast<int>(out.size()));
        return size < 0 ? std::nullopt : std::optional(static_cast<std::size_t>(size));
    }
};

class Lzo final : public Decoder {
  public:
    std::optional<std::size_t> decompress(std::span<const std::uint8_t> in,
                                          std::span<std::uint8_t> out) noexcept override {
        lzo_uint size = out.size();
        const int result = lzo1x_decompress_safe(in.data(), in.size(), out.data(), &size, nullptr);
        return result != LZO_E_OK ? std::nullopt : std::optional(static_cast<std::size_t>(size));
    }
};

template <typename T, auto... arguments>
std::unique_ptr<Decoder> make() {
    return std::make_unique<T>(arguments...);
}

struct Row {
    Compressor id;
    std::unique_ptr<Decoder> (*make)();
};
constexpr Row decoders[] = {
    {Compressor::zstd, &Zstd::make},      {Compressor::gzip, &make<Gzip>},
    {Compressor::xz, &make<Lzma, false>}, {Compressor::lz4, &make<Lz4>},
    {Compressor::lzo, &make<Lzo>},        {Compressor::lzma, &make<Lzma, true>},
};

constexpr bool every_compressor_has_one() {
    for (const auto& facts : compressors) {
        if (std::none_of(std::begin(decoders), std::end(decoders),
                         [&](const Row& row) { return row.id == facts.id; })) {
            return false;
        }
    }
    return true;
}
static_assert(every_compressor_has_one());

} // namespace

std::unique_ptr<Decoder> make_decoder(Compressor compressor) {
    for (const auto& row : decoders) {
        if (row.id == compressor) {
            return row.make();
        }
    }
    return nullptr;
}

} // namespace slipway::squashfs::codec
