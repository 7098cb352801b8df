// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

/// Names of processor architectures. Everywhere in Slipway an architecture is its Go name (GOARCH:
/// "amd64", "arm64", "ppc64le", …) because OCI uses these; "unknown" when nobody knows.
namespace slipway::image {

inline constexpr std::string_view unknown_architecture = "unknown";

/// SIF's two-digit code ("02") to GOARCH; "unknown" for "00" and for codes that nobody defined.
std::string_view architecture_from_sif_code(std::string_view code) noexcept;
/// GOARCH to SIF's code; "00" for names that SIF has no code for.
std::string_view sif_code_from_architecture(std::string_view goarch) noexcept;

/// uname(2)'s machine ("x86_64", "aarch64", "armv7l", …) or a common alias to GOARCH; "unknown"
/// otherwise.
std::string_view architecture_from_machine(std::string_view machine) noexcept;
/// GOARCH of the running kernel.
std::string host_architecture();

/// GOARCH of an ELF file from its first 20 bytes (or more); "" when this is no ELF file, "unknown"
/// for a machine we have no name for.
std::string_view elf_architecture(std::span<const std::uint8_t> head) noexcept;

/// True when a binary of `image` runs on a `host` kernel without emulation: the same, unknown, 386
/// on amd64, arm on arm64 (the mismatches that SingularityCE and Apptainer accept).
bool runs_natively(std::string_view image, std::string_view host) noexcept;

/// True when an enabled binfmt_misc handler with the F flag (opened once, thus usable inside a
/// container) takes ELF files of that architecture. Reads a few small files of `directory`.
bool has_emulator(std::string_view goarch,
                  const std::string& directory = "/proc/sys/fs/binfmt_misc");

} // namespace slipway::image
