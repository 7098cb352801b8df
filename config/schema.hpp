// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/config.hpp"
#include "config/document.hpp"

#include <span>
#include <string>
#include <string_view>

namespace slipway::config {

/// One key of the site file. Everything that is known about it is here: the parser calls set(), the
/// example file, `slipway config show` and slipway.yaml(5) use the texts and get().
struct Key {
    std::string_view section; ///< "store"; "registries" for keys of one registry
    std::string_view name;
    std::string_view doc;     ///< whole sentences for an administrator
    std::string_view example; ///< YAML; "" to show the default
    std::string (*type)();    ///< "a size such as 512MiB, at least 4KiB"
    /// `target` is a Config, or a RegistryConfig for keys of "registries". The error has only the
    /// message and the hint; the caller knows file, line and key.
    base::Result<void> (*set)(void* target, const Node& value);
    std::string (*get)(const void* target); ///< YAML
};

struct Section {
    std::string_view name;
    std::string_view doc;
};

/// A key that people may know from the documentation of later versions, and why it is refused.
struct Refusal {
    std::string_view section; ///< "" for a whole section
    std::string_view name;
    std::string_view reason;
};

std::span<const Section> sections();
std::span<const Key> keys(); ///< ordered by section
std::span<const Refusal> refusals();

/// Default of a key as YAML; "" (empty text) and [] and {} mean that there is none.
std::string default_text(const Key& key);

/// Opens a file that is only to be checked: anybody's, but a plain file.
base::Result<base::UniqueFd> open_draft(const std::string& path);

/// Every problem of a text, not only the first; empty when parse() accepts it.
std::vector<base::Error> problems(std::string_view text, std::string_view name);

/// `text` as a YAML scalar, in quotes where it needs them.
std::string yaml_scalar(std::string_view text);

} // namespace slipway::config
