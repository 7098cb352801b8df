// SPDX-License-Identifier: Apache-2.0
#include "squashfs/reader/block_cache.hpp"

#include <algorithm>
#include <bit>

namespace slipway::squashfs::reader {
namespace {

constexpr std::size_t max_shards = 16;
constexpr std::size_t min_slots_per_shard = 8;

std::uint64_t mix(std::uint64_t value) noexcept {
    value *= 0x9E3779B97F4A7C15U; // Fibonacci hashing: the high bits are the good ones
    return value ^ (value >> 32U);
}

} // namespace

BlockCache::BlockCache(std::size_t slot_bytes, std::size_t slots)
    : slot_bytes_(slot_bytes), slots_per_shard_(0),
      shards_(std::bit_floor(std::clamp<std::size_t>(slots / min_slots_per_shard, 1, max_shards))) {
    slots_per_shard_ = std::max<std::size_t>(slots / shards_.size(), 1);
    const std::size_t count = slots_per_shard_ * shards_.size();
    // Not initialised: pages of slots that are never used are never touched.
    memory_ = std::make_unique_for_overwrite<std::uint8_t[]>(count * slot_bytes);
    slots_ = std::make_unique<Slot[]>(count);
    for (std::size_t i = 0; i < count; ++i) {
        slots_[i].data = memory_.get() + i * slot_bytes;
    }
    for (std::size_t i = 0; i < shards_.size(); ++i) {
        shards_[i].slots = slots_.get() + i * slots_per_shard_;
        shards_[i].buckets.resize(std::bit_ceil(slots_per_shard_), 0);
    }
}

void BlockCache::Ref::drop() noexcept {
    Slot* slot = std::exchange(slot_, nullptr);
    if (slot == nullptr) {
        return;
    }
    if (slot->own) {
        delete slot;
    } else {
        slot->pins.fetch_sub(1, std::memory_order_release);
    }
}

BlockCache::Shard& BlockCache::shard_of(std::uint64_t position) noexcept {
    return shards_[(mix(position) >> 24U) & (shards_.size() - 1)];
}

std::uint32_t& BlockCache::bucket_of(Shard& shard, std::uint64_t position) const noexcept {
    return shard.buckets[mix(position) & (shard.buckets.size() - 1)];
}

BlockCache::Slot* BlockCache::lookup(Shard& shard, std::uint64_t position) const noexcept {
    for (std::uint32_t at = bucket_of(shard, position); at != 0; at = shard.slots[at - 1].chain) {
        if (shard.slots[at - 1].position == position) {
            return &shard.slots[at - 1];
        }
    }
    return nullptr;
}

void BlockCache::unlink(Shard& shard, Slot& slot) const noexcept {
    std::uint32_t* link = &bucket_of(shard, slot.position);
    while (*link != 0) {
        Slot& candidate = shard.slots[*link - 1];
        if (&candidate == &slot) {
            *link = candidate.chain;
            return;
        }
        link = &candidate.chain;
    }
}

BlockCache::Slot* BlockCache::reusable(Shard& shard) const noexcept {
    // Two rounds: the first takes the marks away, the second must find one unless all are pinned.
    for (std::size_t step = 0; step < 2 * slots_per_shard_; ++step) {
        Slot& slot = shard.slots[shard.hand];
        shard.hand = (shard.hand + 1) % slots_per_shard_;
        if (slot.pins.load(std::memory_order_acquire) != 0) {
            continue;
        }
        if (!std::exchange(slot.touched, false)) {
            return &slot;
        }
    }
    return nullptr;
}

bool BlockCache::wait_until_loaded(Shard& shard, Slot& slot, std::unique_lock<std::mutex>& lock) {
    slot.pins.fetch_add(1, std::memory_order_relaxed);
    slot.touched = true;
    while (slot.state == Slot::State::loading) {
        ++shard.waiting;
        shard.changed.wait(lock);
        --shard.waiting;
    }
    if (slot.state == Slot::State::ready) {
        return true;
    }
    slot.pins.fetch_sub(1, std::memory_order_release);
    return false;
}

BlockCache::Claim BlockCache::claim(std::uint64_t position) {
    Shard& shard = shard_of(position);
    std::unique_lock lock(shard.mutex);
    if (Slot* slot = lookup(shard, position); slot != nullptr) {
        return {wait_until_loaded(shard, *slot, lock) ? slot : nullptr, false};
    }
    Slot* slot = reusable(shard);
    if (slot == nullptr) {
        lock.unlock();
        auto extra = std::make_unique<Slot>();
        extra->own = std::make_unique_for_overwrite<std::uint8_t[]>(slot_bytes_);
        extra->data = extra->own.get();
        extra->position = position;
        return {extra.release(), true};
    }
    if (slot->state == Slot::State::ready) {
        unlink(shard, *slot);
    }
    slot->position = position;
    slot->state = Slot::State::loading;
    slot->touched = true;
    slot->pins.store(1, std::memory_order_relaxed);
    std::uint32_t& bucket = bucket_of(shard, position);
    slot->chain = bucket;
    bucket = static_cast<std::uint32_t>(slot - shard.slots) + 1;
    return {slot, true};
}

BlockCache::Ref BlockCache::finish(Slot* slot, const std::optional<Loaded>& loaded) {
    if (loaded) {
        slot->size = loaded->size;
        slot->next = loaded->next;
    }
    if (slot->own) {
        Ref ref(slot);
        return loaded ? std::move(ref) : Ref();
    }
    Shard& shard = shard_of(slot->position);
    const std::lock_guard lock(shard.mutex);
    if (loaded) {
        slot->state = Slot::State::ready;
    } else {
        unlink(shard, *slot);
        slot->state = Slot::State::failed;
        slot->pins.fetch_sub(1, std::memory_order_release);
    }
    if (shard.waiting != 0) {
        shard.changed.notify_all();
    }
    return Ref(loaded ? slot : nullptr);
}

BlockCache::Ref BlockCache::find(std::uint64_t position) {
    Shard& shard = shard_of(position);
    std::unique_lock lock(shard.mutex);
    Slot* slot = lookup(shard, position);
    return Ref(slot != nullptr && wait_until_loaded(shard, *slot, lock) ? slot : nullptr);
}

} // namespace slipway::squashfs::reader
