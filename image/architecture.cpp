// SPDX-License-Identifier: Apache-2.0
#include "image/architecture.hpp"

#include "base/directory.hpp"
#include "base/fd.hpp"
#include "base/path.hpp"
#include "base/text.hpp"
#include "base/words.hpp"

#include <elf.h>
#include <fcntl.h>
#include <sys/utsname.h>

#include <vector>

namespace slipway::image {
namespace {

struct Row {
    std::string_view goarch;
    std::string_view sif_code;
    std::uint16_t elf_machine;
    std::uint8_t elf_class; ///< ELFCLASS32 or ELFCLASS64
    std::uint8_t elf_data;  ///< ELFDATA2LSB or ELFDATA2MSB
};

constexpr std::uint16_t em_riscv = 243;
constexpr std::uint16_t em_loongarch = 258;

constexpr Row rows[] = {
    {"386", "01", EM_386, ELFCLASS32, ELFDATA2LSB},
    {"amd64", "02", EM_X86_64, ELFCLASS64, ELFDATA2LSB},
    {"arm", "03", EM_ARM, ELFCLASS32, ELFDATA2LSB},
    {"arm64", "04", EM_AARCH64, ELFCLASS64, ELFDATA2LSB},
    {"ppc64", "05", EM_PPC64, ELFCLASS64, ELFDATA2MSB},
    {"ppc64le", "06", EM_PPC64, ELFCLASS64, ELFDATA2LSB},
    {"mips", "07", EM_MIPS, ELFCLASS32, ELFDATA2MSB},
    {"mipsle", "08", EM_MIPS, ELFCLASS32, ELFDATA2LSB},
    {"mips64", "09", EM_MIPS, ELFCLASS64, ELFDATA2MSB},
    {"mips64le", "10", EM_MIPS, ELFCLASS64, ELFDATA2LSB},
    {"s390x", "11", EM_S390, ELFCLASS64, ELFDATA2MSB},
    {"riscv64", "12", em_riscv, ELFCLASS64, ELFDATA2LSB},
    {"loong64", "13", em_loongarch, ELFCLASS64, ELFDATA2LSB},
};

struct Alias {
    std::string_view machine;
    std::string_view goarch;
};
constexpr Alias aliases[] = {
    {"x86_64", "amd64"},
    {"x86-64", "amd64"},
    {"aarch64", "arm64"},
    {"arm64v8", "arm64"},
    {"i386", "386"},
    {"i486", "386"},
    {"i586", "386"},
    {"i686", "386"},
    {"armv5l", "arm"},
    {"armv6l", "arm"},
    {"armv7l", "arm"},
    {"armv8l", "arm"},
    {"armhf", "arm"},
    {"armel", "arm"},
    {"loongarch64", "loong64"},
    {"ppc64el", "ppc64le"},
    {"powerpc64le", "ppc64le"},
};

/// Looks whether one entry of binfmt_misc is enabled, has flag F and takes ELF files of `goarch`.
bool entry_takes(const std::string& text, std::string_view goarch) {
    bool fixed = false;
    bool at_start = true;
    std::vector<std::uint8_t> magic;
    const auto lines = base::split(text, '\n');
    if (lines.front() != "enabled") {
        return false;
    }
    for (const auto line : lines) {
        if (line.starts_with("flags:")) {
            fixed = line.substr(6).find('F') != std::string_view::npos;
        } else if (line.starts_with("offset ")) {
            at_start = line == "offset 0";
        } else if (line.starts_with("magic ")) {
            magic = base::from_hex(line.substr(6)).value_or(std::vector<std::uint8_t>());
        }
    }
    return fixed && at_start && elf_architecture(magic) == goarch;
}

} // namespace

std::string_view architecture_from_sif_code(std::string_view code) noexcept {
    for (const auto& row : rows) {
        if (row.sif_code == code) {
            return row.goarch;
        }
    }
    return unknown_architecture;
}

std::string_view sif_code_from_architecture(std::string_view goarch) noexcept {
    for (const auto& row : rows) {
        if (row.goarch == goarch) {
            return row.sif_code;
        }
    }
    return "00";
}

std::string_view architecture_from_machine(std::string_view machine) noexcept {
    for (const auto& row : rows) {
        if (row.goarch == machine) {
            return row.goarch;
        }
    }
    for (const auto& alias : aliases) {
        if (alias.machine == machine) {
            return alias.goarch;
        }
    }
    return unknown_architecture;
}

std::string host_architecture() {
    utsname names{};
    return ::uname(&names) == 0 ? std::string(architecture_from_machine(names.machine))
                                : std::string(unknown_architecture);
}

std::string_view elf_architecture(std::span<const std::uint8_t> head) noexcept {
    constexpr std::size_t machine_at = 18;
    if (head.size() < machine_at + 2 || head[EI_MAG0] != ELFMAG0 || head[EI_MAG1] != 'E' ||
        head[EI_MAG2] != 'L' || head[EI_MAG3] != 'F') {
        return {};
    }
    const bool big = head[EI_DATA] == ELFDATA2MSB;
    const unsigned first = head[machine_at];
    const unsigned second = head[machine_at + 1];
    const unsigned machine = big ? first << 8U | second : second << 8U | first;
    for (const auto& row : rows) {
        if (row.elf_machine == machine && row.elf_class == head[EI_CLASS] &&
            row.elf_data == head[EI_DATA]) {
            return row.goarch;
        }
    }
    return unknown_architecture;
}

bool runs_natively(std::string_view image, std::string_view host) noexcept {
    return image == host || image.empty() || image == unknown_architecture ||
           (image == "386" && host == "amd64") || (image == "arm" && host == "arm64");
}

bool has_emulator(std::string_view goarch, const std::string& directory) {
    if (goarch.empty() || goarch == unknown_architecture) {
        return false;
    }
    const auto entries = base::names_in(directory);
    if (!entries) {
        return false;
    }
    for (const auto& name : *entries) {
        if (name.starts_with('.') || name == "register" || name == "status") {
            continue;
        }
        const auto text = base::read_file(base::join_path(directory, name), 16384);
        if (text && entry_takes(*text, goarch)) {
            return true;
        }
    }
    return false;
}

} // namespace slipway::image
