// SPDX-License-Identifier: Apache-2.0
#include "base/secret.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace slipway::base {

Secret::Secret(std::string_view text) : Secret(join({text})) {}

Secret::Secret(const Secret& other) : Secret(other.reveal()) {}

Secret::Secret(Secret&& other) noexcept
    : bytes_(std::move(other.bytes_)), size_(std::exchange(other.size_, 0)) {}

Secret& Secret::operator=(Secret other) noexcept {
    std::swap(bytes_, other.bytes_);
    std::swap(size_, other.size_);
    return *this;
}

Secret::~Secret() {
    if (bytes_) {
        ::explicit_bzero(bytes_.get(), size_);
    }
}

Secret Secret::join(std::initializer_list<std::string_view> pieces) {
    Secret made;
    for (const auto piece : pieces) {
        made.size_ += piece.size();
    }
    if (made.size_ == 0) {
        return made;
    }
    made.bytes_ = std::make_unique<char[]>(made.size_);
    char* out = made.bytes_.get();
    for (const auto piece : pieces) {
        out = std::copy(piece.begin(), piece.end(), out);
    }
    return made;
}

void wipe(std::string& text) noexcept {
    // capacity, not size: a shrunk string keeps its old characters behind the end.
    text.resize(text.capacity());
    ::explicit_bzero(text.data(), text.size());
    text.clear();
}

} // namespace slipway::base
