// SPDX-License-Identifier: Apache-2.0
#include "image/transports.hpp"

#include <algorithm>
#include <iterator>
#include <vector>

namespace slipway::image {

const TransportRow& transport_row(Transport transport) noexcept {
    return *std::find_if(std::begin(transport_table), std::end(transport_table),
                         [&](const TransportRow& row) { return row.transport == transport; });
}

std::string_view transport_name(Transport transport) noexcept {
    return transport_row(transport).name;
}

TransportSplit split_transport(std::string_view text) noexcept {
    const auto colon = text.find(':');
    if (colon == std::string_view::npos) {
        return {};
    }
    const auto name = text.substr(0, colon);
    const auto rest = text.substr(colon + 1);
    const bool slashes = rest.starts_with("//");
    for (const auto& row : transport_table) {
        const bool named = row.name == name && (slashes || row.form != Form::needs_slashes);
        if (named || (slashes && !row.alias.empty() && row.alias == name)) {
            return {&row, rest};
        }
    }
    return {};
}

std::string transport_list(Use use, std::string_view last_word) {
    std::vector<std::string> prefixes;
    for (const auto& row : transport_table) {
        if (row.can(use)) {
            prefixes.push_back(row.prefix());
        }
    }
    std::string text;
    for (std::size_t i = 0; i < prefixes.size(); ++i) {
        const bool last = i + 1 == prefixes.size();
        text += (i == 0 ? "" : last ? " " + std::string(last_word) + " " : ", ") + prefixes[i];
    }
    return text;
}

} // namespace slipway::image
