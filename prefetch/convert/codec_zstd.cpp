// SPDX-License-Identifier: Apache-2.0
// The only file that uses libzstd: layers come in through it, SquashFS blocks go out.
#include "prefetch/convert/block_codec.hpp"
#include "prefetch/convert/inflate.hpp"

#include "base/format.hpp"

#include <zstd.h>
#include <zstd_errors.h>

namespace slipway::prefetch {

using base::Code;
using base::fail;
using base::Result;

namespace {

/// 128 MiB, what `zstd --long` makes; a frame that asks for more memory is refused.
constexpr int largest_window_log = 27;

struct FreeDecoder {
    void operator()(ZSTD_DCtx* context) const noexcept { ZSTD_freeDCtx(context); }
};
struct FreeEncoder {
    void operator()(ZSTD_CCtx* context) const noexcept { ZSTD_freeCCtx(context); }
};

class ZstdInflater final : public Inflater {
  public:
    ZstdInflater() : context_(ZSTD_createDCtx()) {
        if (context_) {
            ZSTD_DCtx_setParameter(context_.get(), ZSTD_d_windowLogMax, largest_window_log);
        }
    }

    Result<Step> step(std::span<const std::uint8_t> in, std::span<std::uint8_t> out) override {
        if (!context_) {
            return fail(Code::internal, "no memory for a zstd decoder");
        }
        ZSTD_inBuffer source{in.data(), in.size(), 0};
        ZSTD_outBuffer target{out.data(), out.size(), 0};
        const std::size_t status = ZSTD_decompressStream(context_.get(), &target, &source);
        if (ZSTD_isError(status) != 0) {
            if (ZSTD_getErrorCode(status) == ZSTD_error_frameParameter_windowTooLarge) {
                return fail(Code::limit_exceeded,
                            "the zstd data of the layer needs a window of more than 128 MiB",
                            "repack the image without --long or --ultra");
            }
            return fail(Code::layer_invalid, fmt::format("the zstd data of the layer is damaged: {}",
                                                         ZSTD_getErrorName(status)));
        }
        if (source.pos > 0 || target.pos > 0) {
            // 0: a frame has just ended. A call that did nothing says nothing about the frame.
            in_frame_ = status != 0;
        }
        return Step{source.pos, target.pos};
    }

    Result<void> finish() override {
        if (in_frame_) {
            return fail(Code::layer_invalid, "the zstd data of the layer is cut off");
        }
        return {};
    }

  private:
    std::unique_ptr<ZSTD_DCtx, FreeDecoder> context_;
    bool in_frame_ = true;
};

class ZstdBlockCodec final : public BlockCodec {
  public:
    explicit ZstdBlockCodec(int level) : context_(ZSTD_createCCtx()), level_(level) {}

    [[nodiscard]] bool usable() const noexcept { return context_ != nullptr; }

    std::size_t compress(std::span<const std::uint8_t> in, std::span<std::uint8_t> out) override {
        const std::size_t size = ZSTD_compressCCtx(context_.get(), out.data(), out.size(), in.data(),
                                                   in.size(), level_);
        return ZSTD_isError(size) != 0 ? 0 : size;
    }

  private:
    std::unique_ptr<ZSTD_CCtx, FreeEncoder> context_;
    int level_;
};

} // namespace

std::unique_ptr<Inflater> make_zstd_inflater() {
    return std::make_unique<ZstdInflater>();
}

std::unique_ptr<BlockCodec> make_zstd_block_codec(int level) {
    auto codec = std::make_unique<ZstdBlockCodec>(level);
    return codec->usable() ? std::move(codec) : nullptr;
}

} // namespace slipway::prefetch
