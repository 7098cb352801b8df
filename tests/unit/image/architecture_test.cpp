// SPDX-License-Identifier: Apache-2.0
#include "base/fd.hpp"
#include "base/temp_dir.hpp"
#include "image/architecture.hpp"
#include "tests/unit/image/support.hpp"

#include <catch2/catch.hpp>
#include <fcntl.h>

using namespace slipway;

namespace {

std::vector<std::uint8_t> elf(int bits, bool big, unsigned machine) {
    std::vector<std::uint8_t> head(20, 0);
    head[0] = 0x7F;
    head[1] = 'E';
    head[2] = 'L';
    head[3] = 'F';
    head[4] = bits == 64 ? 2 : 1;
    head[5] = big ? 2 : 1;
    head[big ? 18 : 19] = static_cast<std::uint8_t>(machine >> 8U);
    head[big ? 19 : 18] = static_cast<std::uint8_t>(machine & 0xFFU);
    return head;
}

void write(const std::string& path, std::string_view text) {
    auto fd = base::open_file(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    REQUIRE(fd);
    REQUIRE(base::write_all(fd->get(), text));
}

} // namespace

TEST_CASE("SIF codes and GOARCH names are each other's inverse") {
    for (int code = 1; code <= 13; ++code) {
        const auto text = (code < 10 ? "0" : "") + std::to_string(code);
        const auto name = image::architecture_from_sif_code(text);
        INFO(text);
        CHECK(name != image::unknown_architecture);
        CHECK(image::sif_code_from_architecture(name) == text);
    }
    CHECK(image::architecture_from_sif_code("02") == "amd64");
    CHECK(image::architecture_from_sif_code("06") == "ppc64le");
    for (const auto* odd : {"00", "14", "99", "", "2", "xx"}) {
        CHECK(image::architecture_from_sif_code(odd) == "unknown");
    }
    CHECK(image::sif_code_from_architecture("vax") == "00");
}

TEST_CASE("machines are known by what the kernel and other people call them") {
    CHECK(image::architecture_from_machine("x86_64") == "amd64");
    CHECK(image::architecture_from_machine("aarch64") == "arm64");
    CHECK(image::architecture_from_machine("armv7l") == "arm");
    CHECK(image::architecture_from_machine("i686") == "386");
    CHECK(image::architecture_from_machine("ppc64le") == "ppc64le");
    CHECK(image::architecture_from_machine("loongarch64") == "loong64");
    CHECK(image::architecture_from_machine("pdp11") == "unknown");
    CHECK(image::host_architecture() != "unknown");
}

TEST_CASE("ELF files tell their architecture") {
    CHECK(image::elf_architecture(elf(64, false, 62)) == "amd64");
    CHECK(image::elf_architecture(elf(32, false, 3)) == "386");
    CHECK(image::elf_architecture(elf(64, false, 183)) == "arm64");
    CHECK(image::elf_architecture(elf(64, true, 21)) == "ppc64");
    CHECK(image::elf_architecture(elf(64, false, 21)) == "ppc64le");
    CHECK(image::elf_architecture(elf(64, true, 22)) == "s390x");
    CHECK(image::elf_architecture(elf(64, false, 243)) == "riscv64");
    CHECK(image::elf_architecture(elf(64, false, 258)) == "loong64");
    CHECK(image::elf_architecture(elf(64, false, 9999)) == "unknown");
    CHECK(image::elf_architecture(elf(32, false, 62)) == "unknown"); // x32 is not amd64
    auto cut = elf(64, false, 62);
    cut.pop_back();
    CHECK(image::elf_architecture(cut).empty());
    CHECK(image::elf_architecture({}).empty());
}

TEST_CASE("only the known mismatches run natively") {
    CHECK(image::runs_natively("amd64", "amd64"));
    CHECK(image::runs_natively("386", "amd64"));
    CHECK(image::runs_natively("arm", "arm64"));
    CHECK(image::runs_natively("unknown", "s390x"));
    CHECK(!image::runs_natively("amd64", "386"));
    CHECK(!image::runs_natively("arm64", "amd64"));
    CHECK(!image::runs_natively("ppc64", "ppc64le"));
}

TEST_CASE("an emulator counts when it is enabled and opened once") {
    const auto dir = base::TempDir::create("binfmt");
    REQUIRE(dir);
    const std::string aarch64 = "interpreter /usr/bin/qemu-aarch64-static\nflags: OCF\noffset 0\n"
                                "magic 7f454c460201010000000000000000000200b700\n"
                                "mask ffffffffffffff00fffffffffffffffffeffffff\n";
    write(dir->path() + "/register", "");
    write(dir->path() + "/status", "enabled\n");
    write(dir->path() + "/qemu-aarch64", "enabled\n" + aarch64);
    CHECK(image::has_emulator("arm64", dir->path()));
    CHECK(!image::has_emulator("ppc64le", dir->path()));
    CHECK(!image::has_emulator("unknown", dir->path()));
    write(dir->path() + "/qemu-aarch64", "disabled\n" + aarch64);
    CHECK(!image::has_emulator("arm64", dir->path()));
    auto lazy = aarch64;
    lazy.replace(lazy.find("OCF"), 3, "OC");
    write(dir->path() + "/qemu-aarch64", "enabled\n" + lazy);
    CHECK(!image::has_emulator("arm64", dir->path()));
    CHECK(!image::has_emulator("arm64", dir->path() + "/missing"));
}
