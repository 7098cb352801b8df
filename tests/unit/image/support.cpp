// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/image/support.hpp"

#include "base/child.hpp"

#include <catch2/catch.hpp>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace slipway::test {

base::UniqueFd file_with(std::string_view content) {
    base::UniqueFd fd(::memfd_create("test", MFD_CLOEXEC));
    REQUIRE(fd);
    REQUIRE(base::write_all(fd.get(), content));
    return fd;
}

std::string content_of(int fd) {
    struct stat st {};
    REQUIRE(::fstat(fd, &st) == 0);
    std::vector<std::uint8_t> bytes(static_cast<std::size_t>(st.st_size));
    REQUIRE(base::read_exact_at(fd, bytes, 0));
    return {bytes.begin(), bytes.end()};
}

base::Result<std::string> read_oci_config(int fd, const image::SifInfo& sif) {
    const auto* object = sif.find_named(image::SifType::generic_json, image::oci_config_name);
    REQUIRE(object != nullptr);
    return image::read_sif_object(fd, *object, 1U << 20U);
}

std::uint64_t size_of(int fd) {
    struct stat st {};
    return ::fstat(fd, &st) == 0 ? static_cast<std::uint64_t>(st.st_size) : 0;
}

Output run(const std::vector<std::string>& argv, const std::vector<std::string>& environment) {
    auto output = file_with("");
    auto child = base::Child::spawn({.program = argv.front(),
                                     .arguments = argv,
                                     .environment = environment,
                                     .descriptors = {{output.get(), 1}, {output.get(), 2}}});
    if (!child) {
        return {.exit_code = -1, .out = child.error().one_line()};
    }
    const auto status = child->wait();
    REQUIRE(status);
    return {.exit_code = base::exit_code_of(*status), .out = content_of(output.get())};
}

std::string find_program(const std::vector<std::string>& paths) {
    for (const auto& path : paths) {
        if (::access(path.c_str(), X_OK) == 0) {
            return path;
        }
    }
    return {};
}

std::string from_hex(std::string_view text) {
    std::string out;
    std::string digits;
    for (const char c : text) {
        if (c != ' ') {
            digits += c;
        }
        if (digits.size() == 2) {
            out += static_cast<char>(std::stoi(digits, nullptr, 16));
            digits.clear();
        }
    }
    return out;
}

} // namespace slipway::test
