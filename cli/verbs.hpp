// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/session.hpp"

#include <span>
#include <string_view>

/// What the verbs of `slipway` are, how they are explained and what carries them out: the one source of
/// the parser, `slipway help`, the man pages and the shell completion. A new verb is one row of
/// verb_table.cpp and its function.
namespace slipway::cli {

struct Example {
    std::string_view command;
    std::string_view comment;
};

/// Which program has a verb's function. The rows are linked into both, so that help, man pages and
/// completion need one program only.
enum class Program : std::uint8_t {
    slipway, ///< light: no network, no converter
    images,  ///< libexec/slipway-images: everything else; `slipway` becomes it
};

struct Verb {
    std::string_view name;
    Program program = Program::slipway;
    std::string_view summary;  ///< one line, no full stop, begins with a verb
    std::string_view synopsis; ///< without "slipway "; several forms one per line
    /// Paragraphs, separated by empty lines; explained() fills in what stands in braces.
    std::string_view description;
    std::span<const OptionGroup> options = {}; ///< without the global ones
    std::span<const Example> examples = {};
    Words words = Words::anywhere;
    std::string_view subverbs = ""; ///< first words it knows, separated by blanks, for completion
    std::string_view files = "";    ///< "file" or "dir": what completion offers for words
    std::string_view see_also = ""; ///< man pages, "slipway-exec(1) slipway.yaml(5)"
    Run run = nullptr;              ///< nullptr in the program that does not have the verb
};

/// Variables that the programs at the prompt read, but for those of single options.
struct EnvironmentVariable {
    std::string_view names; ///< "SLIPWAY_CONFIG", or several with ", " between them
    std::string_view doc;   ///< whole sentences
};
std::span<const EnvironmentVariable> environment_variables();

std::span<const Verb> verbs(); ///< in the order in which `slipway help` lists them
const Verb* find_verb(std::string_view name);

/// Options that every verb takes, before or behind its name.
std::span<const OptionGroup> global_options();
/// The verb's own groups, then the global ones (a verb's own letter wins).
std::vector<OptionGroup> all_options(const Verb& verb);

/// The option's letter, 0 when an option before it in `groups` has taken it.
char effective_letter(const Option& option, std::span<const OptionGroup> groups);

// Groups of options (action_options.cpp, image_options.cpp). What several verbs know is one table.

std::span<const OptionGroup> run_options();
std::span<const OptionGroup> exec_options();
std::span<const OptionGroup> shell_options();
std::span<const OptionGroup> stage_options();
std::span<const OptionGroup> pull_options();
std::span<const OptionGroup> build_options();
/// How an image that is not a file is fetched: the same for every verb that takes an image.
OptionGroup fetch_options();
/// Options of Singularity and Apptainer that no verb for images can honour: recognised and refused.
OptionGroup refused_options();

} // namespace slipway::cli
