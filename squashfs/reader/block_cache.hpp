// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace slipway::squashfs::reader {

/// Decompressed blocks, shared by all serving threads and keyed by their place in the image. Memory
/// is bounded by slots × slot size (touched only when used); a block that two threads want at once
/// is decompressed once, the second waits. Blocks in use are pinned: when all slots of a shard are
/// pinned a caller gets a block of its own instead of waiting, so that nothing can deadlock.
class BlockCache {
    struct Slot {
        std::uint64_t position = 0;
        std::uint64_t next = 0;
        std::uint8_t* data = nullptr;
        std::uint32_t size = 0;
        std::uint32_t chain = 0;            ///< next slot of the same bucket + 1
        std::atomic<std::uint32_t> pins{0}; ///< raised only under the shard's mutex
        enum class State : std::uint8_t { empty, loading, ready, failed } state = State::empty;
        bool touched = false;                ///< used since the clock hand passed
        std::unique_ptr<std::uint8_t[]> own; ///< set in a block outside of the cache
    };

  public:
    /// What a loader has found out about the block that it wrote into the buffer.
    struct Loaded {
        std::uint32_t size = 0; ///< bytes of the decompressed block
        std::uint64_t next = 0; ///< where the following block begins (metadata only)
    };

    /// A pinned block; empty when loading failed.
    class Ref {
      public:
        Ref() noexcept = default;
        Ref(Ref&& other) noexcept : slot_(std::exchange(other.slot_, nullptr)) {}
        Ref& operator=(Ref&& other) noexcept {
            if (this != &other) {
                drop();
                slot_ = std::exchange(other.slot_, nullptr);
            }
            return *this;
        }
        Ref(const Ref&) = delete;
        Ref& operator=(const Ref&) = delete;
        ~Ref() { drop(); }

        explicit operator bool() const noexcept { return slot_ != nullptr; }
        [[nodiscard]] std::span<const std::uint8_t> bytes() const noexcept {
            return {slot_->data, slot_->size};
        }
        [[nodiscard]] std::uint64_t position() const noexcept { return slot_->position; }
        [[nodiscard]] std::uint64_t next() const noexcept { return slot_->next; }

      private:
        friend class BlockCache;
        explicit Ref(Slot* slot) noexcept : slot_(slot) {}
        void drop() noexcept;
        Slot* slot_ = nullptr;
    };

    BlockCache(std::size_t slot_bytes, std::size_t slots);

    /// The block at `position`, loaded by load(buffer of slot_bytes) -> optional<Loaded> when it is
    /// not there. `load` runs without any lock held and does not throw: others wait for its block.
    /// std::bad_alloc when all slots are pinned and memory is short; nothing has changed then.
    template <typename Load>
    Ref get(std::uint64_t position, Load&& load) {
        auto [slot, must_load] = claim(position);
        if (must_load) {
            const std::optional<Loaded> loaded = load(std::span(slot->data, slot_bytes_));
            return finish(slot, loaded);
        }
        return Ref(slot);
    }

    /// The block when it is there already, else an empty reference.
    Ref find(std::uint64_t position);

  private:
    struct Shard {
        std::mutex mutex;
        std::condition_variable changed;
        Slot* slots = nullptr;
        std::vector<std::uint32_t> buckets; ///< first slot + 1; the size is a power of two
        std::size_t hand = 0;
        unsigned waiting = 0;
    };
    struct Claim {
        Slot* slot;
        bool must_load;
    };

    Shard& shard_of(std::uint64_t position) noexcept;
    std::uint32_t& bucket_of(Shard& shard, std::uint64_t position) const noexcept;
    Slot* lookup(Shard& shard, std::uint64_t position) const noexcept;
    void unlink(Shard& shard, Slot& slot) const noexcept;
    Slot* reusable(Shard& shard) const noexcept;
    static bool wait_until_loaded(Shard& shard, Slot& slot, std::unique_lock<std::mutex>& lock);
    Claim claim(std::uint64_t position);
    Ref finish(Slot* slot, const std::optional<Loaded>& loaded);

    std::size_t slot_bytes_;
    std::size_t slots_per_shard_;
    std::vector<Shard> shards_;
    std::unique_ptr<std::uint8_t[]> memory_;
    std::unique_ptr<Slot[]> slots_;
};

} // namespace slipway::squashfs::reader
