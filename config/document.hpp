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

struct Member;

/// A YAML value as it stands in the file: no types are guessed, line numbers are kept.
struct Node {
    enum class Kind { null, scalar, list, map };
    Kind kind = Kind::null;
    std::size_t line = 0; ///< from 1
    bool quoted = false;  ///< a scalar in quotes or a block scalar: text whatever it looks like
    std::string text;
    std::vector<Node> items;
    std::vector<Member> members; ///< in the order of the file, keys are unique
};

struct Member {
    std::string key;
    std::size_t line = 0;
    Node value;
};

/// Reads one YAML document. Refused with Code::config_invalid and "name:line: what": duplicate
/// keys, keys that are not text, anchors, aliases, tags, more than one document, more nesting than
/// max_depth, more values than max_nodes; larger than max_file_bytes is Code::limit_exceeded.
base::Result<Node> read_document(std::string_view text, std::string_view name);

/// "name:line: message" as Code::config_invalid.
base::Error problem_at(std::string_view name, std::size_t line, std::string message,
                       std::string hint = {});

} // namespace slipway::config
