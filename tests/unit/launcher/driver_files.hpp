// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/cursor.hpp"
#include "launcher/devices/elf.hpp"

#include <string>
#include <utility>
#include <vector>

/// Bytes that a driver's package and ldconfig leave behind, made by hand.
namespace slipway::test {

inline constexpr std::uint32_t i386_flags = 0x0003;

/// The start of an ELF file; by default one for this machine.
inline std::string elf(std::uint8_t bits = 2,
                       std::uint16_t machine = launcher::devices::own_machine.elf,
                       std::uint8_t order = 1) {
    base::Packer out;
    out.u32(0x464c457f);
    out.u8(bits);
    out.u8(order);
    out.u8(1);
    for (int i = 0; i < 9; ++i) {
        out.u8(0);
    }
    out.u16(3);
    out.u16(machine);
    return out.take() + "the rest";
}

struct CacheEntry {
    std::string name;
    std::string path;
    std::uint32_t flags = launcher::devices::own_machine.cache_flags;
    std::uint64_t hwcap = 0;
};

inline std::string new_cache(const std::vector<CacheEntry>& entries, std::uint8_t order = 2) {
    base::Packer out;
    std::string strings;
    const auto start = 48 + 24 * entries.size();
    for (const auto& entry : entries) {
        out.u32(entry.flags);
        out.u32(static_cast<std::uint32_t>(start + strings.size()));
        strings += entry.name + '\0';
        out.u32(static_cast<std::uint32_t>(start + strings.size()));
        strings += entry.path + '\0';
        out.u32(0);
        out.u64(entry.hwcap);
    }
    base::Packer head;
    head.u32(static_cast<std::uint32_t>(entries.size()));
    head.u32(static_cast<std::uint32_t>(strings.size()));
    head.u8(order);
    for (int i = 0; i < 19; ++i) {
        head.u8(0);
    }
    return "glibc-ld.so.cache1.1" + head.take() + out.take() + strings;
}

/// `behind`: a cache in the new format, for loaders that know it. Offsets of the old one count from
/// the end of its entries.
inline std::string old_cache(const std::vector<CacheEntry>& entries,
                             const std::string& behind = "") {
    base::Packer out;
    std::string strings;
    out.u32(static_cast<std::uint32_t>(entries.size()));
    const auto start = behind.empty() ? 0 : behind.size() + (entries.size() % 2 == 0 ? 0 : 4);
    for (const auto& entry : entries) {
        out.u32(entry.flags);
        out.u32(static_cast<std::uint32_t>(start + strings.size()));
        strings += entry.name + '\0';
        out.u32(static_cast<std::uint32_t>(start + strings.size()));
        strings += entry.path + '\0';
    }
    auto text = std::string("ld.so-1.7.0\0", 12) + out.take();
    if (!behind.empty()) {
        text.resize((text.size() + 7) / 8 * 8);
        text += behind;
    }
    return text + strings;
}

} // namespace slipway::test
