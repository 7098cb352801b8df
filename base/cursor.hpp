// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace slipway::base {

/// Reads little-endian numbers and bounded strings from bytes that nobody vouches for. After the
/// first read past the end every read gives zero or "" and ok() is false: callers read a whole
/// record and look once.
class Cursor {
  public:
    explicit Cursor(std::span<const std::uint8_t> bytes) noexcept : bytes_(bytes) {}
    explicit Cursor(std::string_view bytes) noexcept
        : bytes_(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()) {}

    std::uint8_t u8() noexcept { return static_cast<std::uint8_t>(number(1)); }
    std::uint16_t u16() noexcept { return static_cast<std::uint16_t>(number(2)); }
    std::uint32_t u32() noexcept { return static_cast<std::uint32_t>(number(4)); }
    std::uint64_t u64() noexcept { return number(8); }
    std::int32_t i32() noexcept { return static_cast<std::int32_t>(u32()); }
    std::int64_t i64() noexcept { return static_cast<std::int64_t>(u64()); }

    std::span<const std::uint8_t> bytes(std::size_t count) noexcept;
    /// u32 length, then that many bytes; more than `max` bytes makes the cursor fail.
    std::string_view text(std::size_t max) noexcept;
    void skip(std::size_t count) noexcept { bytes(count); }
    void seek(std::size_t position) noexcept;

    [[nodiscard]] bool ok() const noexcept { return ok_; }
    [[nodiscard]] bool at_end() const noexcept { return position_ == bytes_.size(); }
    [[nodiscard]] std::size_t position() const noexcept { return position_; }
    void fail() noexcept { ok_ = false; }

  private:
    std::uint64_t number(std::size_t width) noexcept;

    std::span<const std::uint8_t> bytes_;
    std::size_t position_ = 0;
    bool ok_ = true;
};

/// The writing side: appends little-endian numbers and length-prefixed strings.
class Packer {
  public:
    void u8(std::uint8_t value) { number(value, 1); }
    void u16(std::uint16_t value) { number(value, 2); }
    void u32(std::uint32_t value) { number(value, 4); }
    void u64(std::uint64_t value) { number(value, 8); }
    void text(std::string_view value) {
        u32(static_cast<std::uint32_t>(value.size()));
        out_ += value;
    }
    [[nodiscard]] const std::string& data() const noexcept { return out_; }
    std::string take() noexcept { return std::move(out_); }

  private:
    void number(std::uint64_t value, std::size_t width) {
        for (std::size_t i = 0; i < width; ++i) {
            out_ += static_cast<char>(static_cast<unsigned char>(value >> (8 * i)));
        }
    }
    std::string out_;
};

} // namespace slipway::base
