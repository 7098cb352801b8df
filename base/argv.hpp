// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace slipway::base {

/// What execve(2) wants: pointers to the strings, then a null pointer. They point into `strings`,
/// which must outlive them and stay as it is.
inline std::vector<char*> argv_pointers(const std::vector<std::string>& strings) {
    std::vector<char*> list;
    list.reserve(strings.size() + 1);
    for (const auto& text : strings) {
        list.push_back(const_cast<char*>(text.c_str()));
    }
    list.push_back(nullptr);
    return list;
}

} // namespace slipway::base
