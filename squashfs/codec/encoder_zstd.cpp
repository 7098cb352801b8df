// SPDX-License-Identifier: Apache-2.0
#include "squashfs/codec/encoder_makers.hpp"

#include <zstd.h>

namespace slipway::squashfs::codec {
namespace {

struct FreeContext {
    void operator()(ZSTD_CCtx* context) const noexcept { ZSTD_freeCCtx(context); }
};

class Zstd final : public Encoder {
  public:
    explicit Zstd(int level) : context_(ZSTD_createCCtx()), level_(level) {}

    [[nodiscard]] bool usable() const noexcept { return context_ != nullptr; }

    std::size_t compress(std::span<const std::uint8_t> in, std::span<std::uint8_t> out) override {
        const std::size_t size =
            ZSTD_compressCCtx(context_.get(), out.data(), out.size(), in.data(), in.size(), level_);
        return ZSTD_isError(size) != 0 ? 0 : size;
    }

  private:
    std::unique_ptr<ZSTD_CCtx, FreeContext> context_;
    int level_;
};

} // namespace

std::unique_ptr<Encoder> make_zstd_encoder(int level) {
    auto encoder = std::make_unique<Zstd>(level);
    return encoder->usable() ? std::move(encoder) : nullptr;
}

} // namespace slipway::squashfs::codec
