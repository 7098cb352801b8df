// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/launcher/image_server/short_memory.hpp"

#include <cstdlib>
#include <new>

namespace slipway::test {

std::atomic<long> allocations_left{-1};
thread_local bool allocations_never_fail_here = false;

} // namespace slipway::test

void* operator new(std::size_t size) {
    using namespace slipway::test;
    const bool fails = !allocations_never_fail_here && allocations_left.load() >= 0 &&
                       allocations_left.fetch_sub(1) == 0;
    void* const memory = fails ? nullptr : std::malloc(size != 0 ? size : 1);
    if (memory == nullptr) {
        throw std::bad_alloc();
    }
    return memory;
}
void* operator new[](std::size_t size) {
    return ::operator new(size);
}
// The library's own of these would be another allocator's under a sanitizer.
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
    return std::malloc(size != 0 ? size : 1);
}
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept {
    return std::malloc(size != 0 ? size : 1);
}
void operator delete(void* memory) noexcept {
    std::free(memory);
}
void operator delete[](void* memory) noexcept {
    std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
    std::free(memory);
}
void operator delete[](void* memory, std::size_t) noexcept {
    std::free(memory);
}
