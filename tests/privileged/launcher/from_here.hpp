// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/join/request.hpp"

#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <string>

namespace slipway::test {

/// Fills in what a request says about its sender: this process' directory and environment.
inline void ask_from_here(launcher::join::Request& request, const std::string& image) {
    request.image = image;
    request.reference = image;
    const std::unique_ptr<char, decltype([](char* text) { std::free(text); })> cwd(
        ::getcwd(nullptr, 0));
    request.cwd = cwd ? cwd.get() : "/";
    for (char** item = environ; *item != nullptr; ++item) {
        request.environment.emplace_back(*item);
    }
}

} // namespace slipway::test
