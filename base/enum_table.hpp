// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string_view>

namespace slipway::base {

/// Names of an enumeration whose values are 0, 1, 2, …: one row for each value, in order. Both
/// directions come from it, and a missing, doubled or misplaced row does not compile:
///
///     inline constexpr base::EnumTable pull_policies = std::array{
///         base::EnumRow{PullPolicy::missing, "missing"}, …};
template <typename E> struct EnumRow {
    E value;
    std::string_view name;
};

template <typename E> EnumRow(E, std::string_view) -> EnumRow<E>; // clang 14 does not find it

template <typename E, std::size_t N> class EnumTable {
  public:
    consteval EnumTable(const std::array<EnumRow<E>, N>& rows) { // NOLINT: implicit on purpose
        for (std::size_t i = 0; i < N; ++i) {
            if (static_cast<std::size_t>(rows[i].value) != i || rows[i].name.empty()) {
                throw "rows must name every value, in order";
            }
            names_[i] = rows[i].name;
        }
    }

    /// "" for a number that is no value of the enumeration.
    [[nodiscard]] constexpr std::string_view name(E value) const noexcept {
        const auto index = static_cast<std::size_t>(value);
        return index < N ? names_[index] : std::string_view();
    }
    [[nodiscard]] constexpr std::optional<E> value(std::string_view name) const noexcept {
        for (std::size_t i = 0; i < N; ++i) {
            if (names_[i] == name) {
                return static_cast<E>(i);
            }
        }
        return std::nullopt;
    }
    [[nodiscard]] constexpr std::span<const std::string_view, N> names() const noexcept {
        return names_;
    }
    static constexpr std::size_t size() noexcept { return N; }

  private:
    std::array<std::string_view, N> names_{};
};

} // namespace slipway::base
