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

/// One way to call a verb. What is given besides is refused, because it would have no effect.
struct Form {
    std::string_view word = ""; ///< behind the verb; "" for a verb that knows none, and without any
    std::size_t least = 0;      ///< words behind that one
    std::size_t most = 0;
    std::string_view takes = "";   ///< what these are, for messages: "an image"
    std::string_view options = ""; ///< of the verb's own, separated by blanks; "*" for all
    bool site = true;              ///< reads the site file: --config counts
};
inline constexpr std::size_t any_number = static_cast<std::size_t>(-1);

/// How a verb ends that has looked for something wrong and found it. Errors: base::exit_code_for().
inline constexpr int exit_found_something = 1;

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
    std::span<const Form> forms; ///< at least one
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
/// For a word that is no verb: whether Singularity and Apptainer have it, or what is near.
base::Error unknown_verb(std::string_view word);

/// Refuses words and options that no form of the verb has. Code::usage.
base::Result<void> check_form(const Verb& verb, const Arguments& arguments);

/// --days goes up to a century.
inline constexpr std::uint64_t most_days = 36500;

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
/// The platform that --platform, --arch or their variables ask for, "" for this machine's. What was typed
/// wins over variables. Code::usage when both say something.
base::Result<std::string> wanted_platform(const Arguments& arguments);
/// Refuses options of fetch_options() that exclude each other, whatever the image is. Code::usage.
base::Result<void> check_fetching(const Arguments& arguments);
/// Options of Singularity and Apptainer that no verb for images can honour: recognised and refused.
OptionGroup refused_options();

} // namespace slipway::cli
