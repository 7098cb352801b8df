// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace slipway::config {

inline constexpr std::size_t max_file_bytes = 1U << 20U;
inline constexpr std::size_t max_depth = 8;
inline constexpr std::size_t max_nodes = 100'000;

/// A YAML value as it stands in the file: no types are guessed, line numbers (from 1) are kept.
struct Node {
    enum class Kind { null, scalar, list, map };
    Kind kind = Kind::null;
    bool quoted = false; ///< a scalar in quotes or a block scalar: text whatever it looks like
    std::size_t line = 0;
    std::size_t key_line = 0;
    std::string key;  ///< of an item of a map
    std::string text; ///< of a scalar
    /// Of a list or a map, in the order of the file; the keys of a map are unique.
    std::vector<Node> items;
};

/// Reads one YAML document. Refused with Code::config_invalid and "name:line: what": duplicate
/// keys, keys that are not text, anchors, aliases, tags, more than one document, more nesting than
/// max_depth, more values than max_nodes; larger than max_file_bytes is Code::limit_exceeded.
base::Result<Node> read_document(std::string_view text, std::string_view name);

/// Code::config_invalid; whoever knows file, line and key adds them.
inline base::Unexpected wrong(std::string what, std::string hint) {
    return base::fail(base::Code::config_invalid, std::move(what), std::move(hint));
}

/// "name:line: message" as Code::config_invalid.
base::Error problem_at(std::string_view name, std::size_t line, std::string message,
                       std::string hint = {});

} // namespace slipway::config
