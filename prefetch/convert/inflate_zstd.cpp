// SPDX-License-Identifier: Apache-2.0
#include "prefetch/convert/inflate.hpp"

#include "base/format.hpp"

#include <cstdlib>

#define ZSTD_STATIC_LINKING_ONLY // an allocator of our own
#include <zstd.h>
#include <zstd_errors.h>

namespace slipway::prefetch::convert {

using base::Code;
using base::fail;
using base::Result;

namespace {

/// 128 MiB, what `zstd --long` makes; a frame that asks for more memory is refused.
constexpr int largest_window_log = 27;

struct FreeDecoder {
    void operator()(ZSTD_DCtx* context) const noexcept { ZSTD_freeDCtx(context); }
};

class ZstdInflater final : public Inflater {
  public:
    explicit ZstdInflater(WindowPass windows)
        : windows_(windows), context_(ZSTD_createDCtx_advanced({allocate, release, this})) {
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
            if (ZSTD_getErrorCode(status) == ZSTD_error_memory_allocation) {
                return fail(Code::limit_exceeded, "no memory for the window of a zstd layer",
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
    /// The window is the one large piece of memory that a decoder takes, one at a time.
    static void* allocate(void* self, std::size_t size) noexcept {
        auto& inflater = *static_cast<ZstdInflater*>(self);
        const bool large = size >= WindowGate::large && inflater.windows_.gate != nullptr;
        if (large && !inflater.windows_.gate->enter(inflater.windows_.order)) {
            return nullptr;
        }
        void* memory = std::malloc(size);
        if (large) {
            inflater.window_ = memory;
            if (memory == nullptr) {
                inflater.windows_.gate->leave(inflater.windows_.order);
            }
        }
        return memory;
    }
    static void release(void* self, void* memory) noexcept {
        auto& inflater = *static_cast<ZstdInflater*>(self);
        std::free(memory);
        if (memory != nullptr && memory == inflater.window_) {
            inflater.window_ = nullptr;
            inflater.windows_.gate->leave(inflater.windows_.order);
        }
    }

    const WindowPass windows_;
    void* window_ = nullptr; ///< the large one
    std::unique_ptr<ZSTD_DCtx, FreeDecoder> context_;
    bool in_frame_ = true;
};

} // namespace

std::unique_ptr<Inflater> make_zstd_inflater(WindowPass windows) {
    return std::make_unique<ZstdInflater>(windows);
}

} // namespace slipway::prefetch::convert
