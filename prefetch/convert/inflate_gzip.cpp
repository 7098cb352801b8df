// SPDX-License-Identifier: Apache-2.0
// The only file that uses ISA-L.
#include "prefetch/convert/inflate.hpp"

#include "base/format.hpp"

#include <algorithm>
#include <array>

#include <isa-l/igzip_lib.h>

namespace slipway::prefetch {

using base::Code;
using base::fail;
using base::Result;

namespace {

constexpr std::array<std::uint8_t, 2> magic{0x1f, 0x8b};

class GzipInflater final : public Inflater {
  public:
    GzipInflater() { start_member(); }

    Result<Step> step(std::span<const std::uint8_t> in, std::span<std::uint8_t> out) override {
        Step done;
        while (done.produced < out.size()) {
            const auto left = in.subspan(done.consumed);
            if (where_ == Where::trailing) {
                done.consumed = in.size(); // whatever follows the last member
                break;
            }
            if (where_ == Where::between) {
                if (left.empty()) {
                    break;
                }
                done.consumed += between(left);
                continue;
            }
            TRY_ASSIGN(const Step part, member(left, out.subspan(done.produced)));
            done.consumed += part.consumed;
            done.produced += part.produced;
            if (part.consumed == 0 && part.produced == 0 && where_ == Where::member) {
                break;
            }
        }
        return done;
    }

    Result<void> finish() override {
        if (where_ == Where::member) {
            return fail(Code::layer_invalid, "the gzip data of the layer is cut off");
        }
        return {};
    }

  private:
    enum class Where { member, between, trailing };

    void start_member() noexcept {
        isal_inflate_init(&state_);
        state_.crc_flag = ISAL_GZIP;
        where_ = Where::member;
    }

    /// Looks for the next member's magic, which may be cut in two by the end of the input.
    std::size_t between(std::span<const std::uint8_t> in) {
        if (in[0] != magic[half_magic_ ? 1 : 0]) {
            where_ = Where::trailing;
            return 1;
        }
        if (!half_magic_) {
            half_magic_ = true;
            return 1;
        }
        half_magic_ = false;
        start_member();
        // Two bytes of a header cannot fail and give no output.
        auto head = magic;
        state_.next_in = head.data();
        state_.avail_in = static_cast<std::uint32_t>(head.size());
        std::uint8_t nothing = 0;
        state_.next_out = &nothing;
        state_.avail_out = 0;
        isal_inflate(&state_);
        return 1;
    }

    Result<Step> member(std::span<const std::uint8_t> in, std::span<std::uint8_t> out) {
        constexpr std::size_t most = 1U << 30U; // ISA-L counts in 32 bits
        state_.next_in = const_cast<std::uint8_t*>(in.data());
        state_.avail_in = static_cast<std::uint32_t>(std::min(in.size(), most));
        state_.next_out = out.data();
        state_.avail_out = static_cast<std::uint32_t>(std::min(out.size(), most));
        const std::uint32_t in_before = state_.avail_in;
        const std::uint32_t out_before = state_.avail_out;
        const int status = isal_inflate(&state_);
        if (status != ISAL_DECOMP_OK && status != ISAL_END_INPUT && status != ISAL_OUT_OVERFLOW) {
            return fail(Code::layer_invalid,
                        fmt::format("the gzip data of the layer is damaged (ISA-L error {})", status));
        }
        if (state_.block_state == ISAL_BLOCK_FINISH) {
            where_ = Where::between;
        }
        return Step{in_before - state_.avail_in, out_before - state_.avail_out};
    }

    inflate_state state_{};
    Where where_ = Where::member;
    bool half_magic_ = false;
};

} // namespace

std::unique_ptr<Inflater> make_gzip_inflater() {
    return std::make_unique<GzipInflater>();
}

} // namespace slipway::prefetch
