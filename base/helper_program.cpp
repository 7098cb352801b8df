// SPDX-License-Identifier: Apache-2.0
#include "base/helper_program.hpp"

#include "base/format.hpp"
#include "base/path.hpp"

#include <array>
#include <climits>
#include <vector>

#include <unistd.h>

#ifndef SLIPWAY_LIBEXECDIR
#error "the build must say where helper programs are installed"
#endif

namespace slipway::base {
namespace {

std::string own_directory() {
    std::array<char, PATH_MAX> buffer{};
    const ssize_t length = ::readlink("/proc/self/exe", buffer.data(), buffer.size());
    if (length <= 0) {
        return {};
    }
    return std::string(dir_name(std::string_view(buffer.data(), static_cast<std::size_t>(length))));
}

} // namespace

Result<std::string> find_helper_program(std::string_view name) {
    std::vector<std::string> places;
    if (const auto here = own_directory(); !here.empty()) {
        for (const auto* relative : {".", "../libexec", "../libexec/slipway"}) {
            places.push_back(clean_path(join_path(here, relative)));
        }
    }
    places.emplace_back(SLIPWAY_LIBEXECDIR);
    for (const auto& place : places) {
        auto path = join_path(place, name);
        if (::access(path.c_str(), X_OK) == 0) {
            return path;
        }
    }
    return fail(Code::unsupported, fmt::format("the program {} is not installed", name),
                fmt::format("install it as {}/{}", SLIPWAY_LIBEXECDIR, name));
}

} // namespace slipway::base
