// SPDX-License-Identifier: Apache-2.0
#include "launcher/devices/elf.hpp"

#include "base/cursor.hpp"

namespace slipway::launcher::devices {

bool is_own_elf(std::string_view start) noexcept {
    constexpr std::uint32_t magic = 0x464c457f; // "\x7f" "ELF"
    constexpr std::uint8_t of_64_bits = 2;
    constexpr std::uint8_t little_endian = 1;
    constexpr std::size_t rest_of_ident_and_type = 12;
    base::Cursor in(start);
    const bool fits = in.u32() == magic && in.u8() == of_64_bits && in.u8() == little_endian;
    in.skip(rest_of_ident_and_type);
    return fits && in.u16() == own_machine.elf && in.ok();
}

} // namespace slipway::launcher::devices
