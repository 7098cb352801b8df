// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/options.hpp"

#include <span>
#include <string_view>

/// What the verbs of `slipway` are and how they are explained: the one source of `slipway help`,
/// the man pages and the shell completion.
namespace slipway::cli {

struct Example {
    std::string_view command;
    std::string_view comment;
};

struct Verb {
    std::string_view name;
    std::string_view summary;             ///< one line, no full stop, begins with a verb
    std::string_view synopsis;            ///< without "slipway "; several forms one per line
    std::string_view description;         ///< paragraphs, separated by empty lines
    std::span<const OptionGroup> options; ///< without the global ones
    std::span<const Example> examples;
    Words words = Words::anywhere;
    std::string_view subverbs = ""; ///< first words it knows, separated by blanks, for completion
    std::string_view files = "";    ///< "file" or "dir": what completion offers for words
    std::string_view see_also = ""; ///< man pages, "slipway-exec(1) slipway.yaml(5)"
};

std::span<const Verb> verbs(); ///< in the order in which `slipway help` lists them
const Verb* find_verb(std::string_view name);

/// Options that every verb takes, before or behind its name.
std::span<const OptionGroup> global_options();
/// The verb's own groups, then the global ones (a verb's own letter wins).
std::vector<OptionGroup> all_options(const Verb& verb);

/// The option's letter, 0 when an option before it in `groups` has taken it.
char effective_letter(const Option& option, std::span<const OptionGroup> groups);

/// Verbs of the second program, libexec/slipway-images, which links what needs the network. Only
/// their description is here, so that help, man pages and completion need no second program.
namespace images {
std::span<const Verb> verbs();
const Verb* find_verb(std::string_view name);
} // namespace images

/// Option groups of run, exec and shell (action_options.cpp).
std::span<const OptionGroup> run_options();
std::span<const OptionGroup> exec_options();
std::span<const OptionGroup> shell_options();

} // namespace slipway::cli
