// SPDX-License-Identifier: Apache-2.0
// The only file that uses ISA-L.
#include "prefetch/convert/inflate.hpp"

#include "base/format.hpp"

#include <algorithm>
#include <array>

#include <isa-l/igzip_lib.h>

namespace slipway::prefetch::convert {

using base::Code;
using base::fail;
using base::Result;

namespace {

constexpr std::array<std::uint8_t, 2> magic{0x1f, 0x8b};

/// Reads a member's header (RFC 1952), in pieces of any size. ISA-L could do it, but loses its place
/// in a header with optional fields that arrives in small pieces.
class HeaderReader {
  public:
    void start(bool magic_seen) noexcept {
        stage_ = Stage::fixed;
        have_ = magic_seen ? magic.size() : 0;
        flags_ = 0;
    }
    [[nodiscard]] bool complete() const noexcept { return stage_ == Stage::complete; }

    /// Bytes taken, all of `in` unless the header ends before.
    Result<std::size_t> take(std::span<const std::uint8_t> in) {
        std::size_t taken = 0;
        while (taken < in.size() && !complete()) {
            if (!byte(in[taken++])) {
                return fail(Code::layer_invalid, "the gzip header of the layer is damaged");
            }
        }
        return taken;
    }

  private:
    enum class Stage { fixed, extra_size, extra, name, comment, crc, complete };
    static constexpr std::uint8_t has_crc = 2;
    static constexpr std::uint8_t has_extra = 4;
    static constexpr std::uint8_t has_name = 8;
    static constexpr std::uint8_t has_comment = 16;
    static constexpr std::uint8_t reserved = 0xe0;

    bool byte(std::uint8_t value) noexcept {
        switch (stage_) {
        case Stage::fixed:
            return fixed(value);
        case Stage::extra_size:
            extra_ |= static_cast<std::size_t>(value) << (8 * have_);
            if (++have_ == 2) {
                enter(extra_ == 0 ? Stage::name : Stage::extra);
            }
            return true;
        case Stage::extra:
            if (++have_ == extra_) {
                enter(Stage::name);
            }
            return true;
        case Stage::name:
        case Stage::comment:
            if (value == 0) {
                enter(stage_ == Stage::name ? Stage::comment : Stage::crc);
            }
            return true;
        case Stage::crc:
            if (++have_ == 2) {
                enter(Stage::complete);
            }
            return true;
        case Stage::complete:
            break;
        }
        return false;
    }

    bool fixed(std::uint8_t value) noexcept {
        constexpr std::size_t size = 10;
        constexpr std::uint8_t deflate = 8;
        if ((have_ < magic.size() && value != magic[have_]) || (have_ == 2 && value != deflate)) {
            return false;
        }
        if (have_ == 3) {
            flags_ = value;
            if ((flags_ & reserved) != 0) {
                return false;
            }
        }
        if (++have_ == size) {
            enter(Stage::extra_size);
        }
        return true;
    }

    /// The stage, or the first one behind it that this header has.
    void enter(Stage stage) noexcept {
        have_ = 0;
        stage_ = stage;
        if (stage == Stage::extra_size) {
            extra_ = 0;
            if ((flags_ & has_extra) == 0) {
                enter(Stage::name);
            }
        } else if (stage == Stage::name && (flags_ & has_name) == 0) {
            enter(Stage::comment);
        } else if (stage == Stage::comment && (flags_ & has_comment) == 0) {
            enter(Stage::crc);
        } else if (stage == Stage::crc && (flags_ & has_crc) == 0) {
            enter(Stage::complete);
        }
    }

    Stage stage_ = Stage::fixed;
    std::size_t have_ = 0; ///< bytes of this stage
    std::size_t extra_ = 0;
    std::uint8_t flags_ = 0;
};

class GzipInflater final : public Inflater {
  public:
    GzipInflater() { start_member(false); }

    Result<Step> step(std::span<const std::uint8_t> in, std::span<std::uint8_t> out) override {
        Step done;
        while (done.produced < out.size()) {
            const auto left = in.subspan(done.consumed);
            if (where_ == Where::trailing) {
                done.consumed = in.size(); // whatever follows the last member
                break;
            }
            if (where_ != Where::member && left.empty()) {
                break;
            }
            if (where_ == Where::between) {
                done.consumed += between(left);
                continue;
            }
            if (where_ == Where::header) {
                TRY_ASSIGN(const std::size_t taken, header_.take(left));
                done.consumed += taken;
                where_ = header_.complete() ? Where::member : Where::header;
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
        if (where_ == Where::member || where_ == Where::header) {
            return fail(Code::layer_invalid, "the gzip data of the layer is cut off");
        }
        return {};
    }

  private:
    enum class Where { header, member, between, trailing };

    void start_member(bool magic_seen) noexcept {
        isal_inflate_init(&state_);
        state_.crc_flag = ISAL_GZIP_NO_HDR_VER; // deflate, then the trailer, which is checked
        header_.start(magic_seen);
        where_ = Where::header;
    }

    /// Looks for the next member's magic, which may be cut in two by the end of the input.
    std::size_t between(std::span<const std::uint8_t> in) {
        if (in[0] != magic[half_magic_ ? 1 : 0]) {
            where_ = Where::trailing;
        } else if (half_magic_) {
            half_magic_ = false;
            start_member(true);
        } else {
            half_magic_ = true;
        }
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
    HeaderReader header_;
    Where where_ = Where::header;
    bool half_magic_ = false;
};

} // namespace

std::unique_ptr<Inflater> make_gzip_inflater() {
    return std::make_unique<GzipInflater>();
}

} // namespace slipway::prefetch::convert
