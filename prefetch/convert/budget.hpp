// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace slipway::prefetch::convert {

/// What one conversion may hold in memory besides its buffers: names, attributes, records, the tree,
/// and what the tables take while they are written. A layer decides how much of that there is, and a
/// few megabytes of it can ask for gigabytes, so everything that grows with the content of layers is
/// charged here before it is made. Charges are what a thing costs until the end of the conversion,
/// tables that double their size included; nothing is ever given back but holds.
///
/// take() and hold() from any thread, nodes from one.
class Budget {
  public:
    /// Without limits, for callers that know their input.
    Budget() = default;
    Budget(std::uint64_t bytes, std::uint64_t nodes) : bytes_(bytes), nodes_(nodes) {}
    Budget(const Budget&) = delete;
    Budget& operator=(const Budget&) = delete;

    /// Code::limit_exceeded when the memory of the conversion is used up.
    base::Result<void> take(std::uint64_t bytes);
    /// Code::limit_exceeded when there are more files, directories and links than allowed, those
    /// that only parts of a path name included. `count`: how many there are now.
    base::Result<void> check_nodes(std::uint64_t count) const;

    /// Memory that is needed for a while.
    class Hold {
      public:
        Hold() = default;
        Hold(Hold&& other) noexcept : budget_(other.budget_), bytes_(other.bytes_) {
            other.budget_ = nullptr;
        }
        Hold& operator=(Hold&&) = delete;
        ~Hold() {
            if (budget_ != nullptr) {
                budget_->used_ -= bytes_;
            }
        }

      private:
        friend class Budget;
        Hold(Budget& budget, std::uint64_t bytes) : budget_(&budget), bytes_(bytes) {}
        Budget* budget_ = nullptr;
        std::uint64_t bytes_ = 0;
    };
    base::Result<Hold> hold(std::uint64_t bytes);

    [[nodiscard]] std::uint64_t used() const noexcept { return used_; }

  private:
    const std::uint64_t bytes_ = std::numeric_limits<std::uint64_t>::max();
    const std::uint64_t nodes_ = std::numeric_limits<std::uint64_t>::max();
    std::atomic<std::uint64_t> used_{0};
};

/// Bytes that one of each costs, measured on x86-64 with glibc.
namespace cost {
inline constexpr std::uint64_t name = 16;      ///< besides its text: end, table
inline constexpr std::uint64_t path = 24;      ///< node and table
inline constexpr std::uint64_t record = 36;    ///< of a layer, or made for an implied directory
inline constexpr std::uint64_t inode = 44;     ///< tree node; number, links, reference, export table
inline constexpr std::uint64_t directory = 128; ///< its finished inode waits for its siblings
inline constexpr std::uint64_t entry = 52;     ///< a name in a directory, besides the text: listing
inline constexpr std::uint64_t listed = 80;    ///< an entry of the directory that is being written
inline constexpr std::uint64_t payload = 104;  ///< a file's content: where it lies, its fingerprint
inline constexpr std::uint64_t block = 6;      ///< stored size of a block
inline constexpr std::uint64_t xattr_factor = 4; ///< the library keeps values as text, twice as long
inline constexpr std::uint64_t xattr_set = 128;
} // namespace cost

} // namespace slipway::prefetch::convert
