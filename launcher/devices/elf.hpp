// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace slipway::launcher::devices {

/// The machine that this program was built for.
struct Machine {
    std::uint16_t elf;         ///< e_machine
    std::uint32_t cache_flags; ///< of its libraries in ld.so.cache
    std::string_view triplet;  ///< directory of its libraries in Debian, below /lib and /usr/lib
};
inline constexpr Machine own_machine =
#if defined(__x86_64__)
    {62, 0x0303, "x86_64-linux-gnu"};
#elif defined(__aarch64__)
    {183, 0x0a03, "aarch64-linux-gnu"};
#elif defined(__powerpc64__)
    {21, 0x0503, "powerpc64le-linux-gnu"};
#else
#error "which libraries of ld.so.cache fit this machine?"
#endif

/// As much of a file as is_own_elf() looks at.
inline constexpr std::size_t elf_start_bytes = 20;

/// True for the start of an ELF file of 64 bits, little-endian, for this machine.
bool is_own_elf(std::string_view start) noexcept;

} // namespace slipway::launcher::devices
