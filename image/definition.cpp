// SPDX-License-Identifier: Apache-2.0
#include "image/definition.hpp"

#include "base/text.hpp"
#include "base/words.hpp"

#include <algorithm>
#include <array>

namespace slipway::image {
namespace {

constexpr std::array<std::string_view, 14> sections{
    "%pre",       "%setup",       "%files", "%labels", "%environment", "%post",   "%runscript",
    "%startscript", "%test", "%help",  "%arguments", "%appinstall", "%apprun", "%appenv"};

} // namespace

bool looks_like_definition(std::string_view head) noexcept {
    while (!head.empty()) {
        const auto end = std::min(head.find('\n'), head.size());
        auto line = base::trim(head.substr(0, end));
        head.remove_prefix(std::min(end + 1, head.size()));
        if (line.ends_with('\r')) {
            line.remove_suffix(1);
        }
        if (line.empty() || line.front() == '#') {
            continue;
        }
        const auto word = line.substr(0, line.find_first_of(" \t:"));
        const auto behind = base::trim(line.substr(word.size()));
        const bool header = behind.starts_with(':');
        return (header && base::equal_ignoring_case(word, "bootstrap")) ||
               std::find(sections.begin(), sections.end(), word) != sections.end();
    }
    return false;
}

} // namespace slipway::image
