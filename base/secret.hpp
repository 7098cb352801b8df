// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace slipway::base {

/// A password, a token or a header that holds one. It has no stream operator, no formatter and no
/// conversion to a string, so that no message can show it by mistake; its memory is wiped before it is
/// given back. reveal() is for the few places that put it on a wire or into a pipe.
class Secret {
  public:
    Secret() = default;
    explicit Secret(std::string_view text);
    Secret(const Secret& other);
    Secret(Secret&& other) noexcept;
    Secret& operator=(Secret other) noexcept;
    ~Secret();

    [[nodiscard]] std::string_view reveal() const noexcept { return {bytes_.get(), size_}; }
    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
    bool operator==(const Secret& other) const noexcept { return reveal() == other.reveal(); }

    /// A new secret made of the given pieces, without an unwiped copy on the way.
    static Secret join(std::initializer_list<std::string_view> pieces);

  private:
    std::unique_ptr<char[]> bytes_;
    std::size_t size_ = 0;
};

/// Overwrites the characters and empties the string. Use it for scratch copies of secrets.
void wipe(std::string& text) noexcept;

/// Wipes a scratch string when the scope ends.
class WipeAtEnd {
  public:
    explicit WipeAtEnd(std::string& text) noexcept : text_(text) {}
    WipeAtEnd(const WipeAtEnd&) = delete;
    WipeAtEnd& operator=(const WipeAtEnd&) = delete;
    ~WipeAtEnd() { wipe(text_); }

  private:
    std::string& text_;
};

} // namespace slipway::base
