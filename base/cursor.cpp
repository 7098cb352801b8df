// SPDX-License-Identifier: Apache-2.0
#include "base/cursor.hpp"

namespace slipway::base {

std::span<const std::uint8_t> Cursor::bytes(std::size_t count) noexcept {
    if (!ok_ || count > bytes_.size() - position_) {
        ok_ = false;
        return {};
    }
    const auto part = bytes_.subspan(position_, count);
    position_ += count;
    return part;
}

std::string_view Cursor::text(std::size_t max) noexcept {
    const std::size_t length = u32();
    if (length > max) {
        ok_ = false;
        return {};
    }
    const auto part = bytes(length);
    return {reinterpret_cast<const char*>(part.data()), part.size()};
}

void Cursor::seek(std::size_t position) noexcept {
    if (position > bytes_.size()) {
        ok_ = false;
    } else {
        position_ = position;
    }
}

std::uint64_t Cursor::number(std::size_t width) noexcept {
    const auto part = bytes(width);
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < part.size(); ++i) {
        value |= static_cast<std::uint64_t>(part[i]) << (8 * i);
    }
    return value;
}

} // namespace slipway::base
