// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <type_traits>

namespace slipway::prefetch::convert {

/// A vector for plain data that grows to hundreds of megabytes: realloc(3) moves large arrays by
/// their pages, so that growing never needs the old and the new one at once, and little is spare.
template <typename T>
    requires std::is_trivially_copyable_v<T>
class GrowingArray {
  public:
    GrowingArray() = default;

    void push_back(const T& value) {
        const T copy = value; // it may be one of ours
        reserve(size_ + 1);
        data_.get()[size_++] = copy;
    }
    void append(std::size_t count, const T& value) {
        reserve(size_ + count);
        std::uninitialized_fill_n(data_.get() + size_, count, value);
        size_ += count;
    }
    void append(const T* items, std::size_t count) {
        reserve(size_ + count);
        std::uninitialized_copy_n(items, count, data_.get() + size_);
        size_ += count;
    }
    /// Only smaller.
    void truncate(std::size_t size) noexcept { size_ = size; }
    /// Gives spare room back.
    void shrink() { resize_room(size_); }

    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
    [[nodiscard]] T* data() noexcept { return data_.get(); }
    [[nodiscard]] const T* data() const noexcept { return data_.get(); }
    [[nodiscard]] T& operator[](std::size_t index) noexcept { return data_.get()[index]; }
    [[nodiscard]] const T& operator[](std::size_t index) const noexcept {
        return data_.get()[index];
    }
    [[nodiscard]] const T* begin() const noexcept { return data_.get(); }
    [[nodiscard]] const T* end() const noexcept { return data_.get() + size_; }

  private:
    struct Free {
        void operator()(T* data) const noexcept { std::free(data); }
    };

    void reserve(std::size_t wanted) {
        if (wanted > room_) {
            const std::size_t more = room_ < 4096 ? room_ : room_ / 4;
            resize_room(wanted > room_ + more ? wanted : room_ + more);
        }
    }
    void resize_room(std::size_t room) {
        if (room == 0) {
            data_.reset();
        } else {
            void* moved = std::realloc(data_.get(), room * sizeof(T));
            if (moved == nullptr) {
                if (const auto handler = std::get_new_handler()) {
                    handler();
                }
                throw std::bad_alloc();
            }
            (void)data_.release();
            data_.reset(static_cast<T*>(moved));
        }
        room_ = room;
    }

    std::unique_ptr<T, Free> data_;
    std::size_t size_ = 0;
    std::size_t room_ = 0;
};

} // namespace slipway::prefetch::convert
