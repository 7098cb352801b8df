// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.hpp"
#include "base/temp_dir.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// Command lines by table. One table row says how an option is written, which environment variables
/// stand for it and what it means; parser, help, man pages and completion are made from the rows.
/// A table of our own because `slipway exec` should start in about a millisecond, and because the
/// spelling rules of Singularity and Apptainer (pflag) have to be met exactly.
namespace slipway::cli {

enum class OptionKind : std::uint8_t {
    flag,  ///< --name, --name=true, --name=false
    text,  ///< one value; the last one wins
    list,  ///< may be repeated; one value may hold several, separated by commas
    texts, ///< may be repeated; every value is taken whole
};

/// Looks at one value (of a list: at one piece of it) and says why it is none. The caller puts the name
/// of the option, or of the variable, in front. Pure.
using Check = base::Result<void> (*)(std::string_view value);

struct Option {
    std::string_view name; ///< without --
    char letter = 0;       ///< 0: no short form
    OptionKind kind = OptionKind::flag;
    std::string_view value = ""; ///< "SRC[:DST[:OPTIONS]],…" for help; "" for flags
    std::string_view doc = "";   ///< whole sentences
    /// Names after SLIPWAY_, APPTAINER_ or SINGULARITY_, separated by blanks; the first that is set
    /// counts. "" when no environment variable stands for the option.
    std::string_view environment = "";
    std::string_view alias = "";       ///< other long names, separated by blanks
    std::string_view unsupported = ""; ///< when not empty: recognised, refused, and this says why
    std::string_view files = "";       ///< "file" or "dir": what the shell completes the value with
    Check check = nullptr;             ///< nullptr where every value but an empty one will do
};

struct OptionGroup {
    std::string_view title;
    std::span<const Option> options;
};

/// What one command line and the environment gave.
class Arguments {
  public:
    struct Given {
        const Option* option;
        std::string value;  ///< for flags "true" or "false"
        std::string source; ///< as it was written: "--bind", "-B", "SINGULARITY_BIND"

        [[nodiscard]] bool typed() const noexcept { return source.starts_with('-'); }
    };

    [[nodiscard]] bool flag(std::string_view name) const; ///< the last one wins; absent is false
    [[nodiscard]] std::optional<bool> flag_if_given(std::string_view name) const;
    [[nodiscard]] std::optional<std::string> text(std::string_view name) const;
    /// What gave the value that text() and flag() tell of; nullptr when nothing did.
    [[nodiscard]] const Given* last(std::string_view name) const;
    /// Lists are split at their commas, empty pieces dropped.
    [[nodiscard]] std::vector<std::string> list(std::string_view name) const;
    /// Everything that was given, in order: command line first, then environment.
    [[nodiscard]] const std::vector<Given>& given() const noexcept { return given_; }
    [[nodiscard]] const std::vector<std::string>& words() const noexcept { return words_; }
    [[nodiscard]] bool wants_help() const noexcept { return help_; }

    void add(const Option& option, std::string value, std::string source) {
        given_.push_back({&option, std::move(value), std::move(source)});
    }
    void add_word(std::string word) { words_.push_back(std::move(word)); }
    void want_help() noexcept { help_ = true; }

  private:
    std::vector<Given> given_;
    std::vector<std::string> words_; ///< what is no option
    bool help_ = false;              ///< -h or --help
};

enum class Words : std::uint8_t {
    anywhere,   ///< options may stand behind words
    end_options ///< everything from the first word on is words (exec IMAGE COMMAND -x)
};

/// Spellings as in pflag: --name value, --name=value, -n value, -nvalue, -n=value, -abc for flags,
/// -- ends the options. Every mistake is Code::usage with a hint, or what the option's check says; an
/// empty value is one. A recognised option that this version cannot honour is Code::unsupported.
base::Result<Arguments> parse_arguments(std::span<const OptionGroup> groups,
                                        std::span<const std::string> arguments, Words words);

/// The caller's environment, as NAME=value strings.
class EnvironmentView {
  public:
    explicit EnvironmentView(std::vector<std::string> variables)
        : variables_(std::move(variables)) {}
    static EnvironmentView of_process();

    /// The value; nothing when the variable is not set.
    [[nodiscard]] std::optional<std::string_view> get(std::string_view name) const;
    [[nodiscard]] const std::vector<std::string>& variables() const noexcept { return variables_; }

  private:
    std::vector<std::string> variables_;
};

/// Adds what environment variables give: for each of an option's names the first of SLIPWAY_NAME,
/// APPTAINER_NAME and SINGULARITY_NAME (in the order of product.hpp) that is not blank. An option from the command line wins, but
/// lists are appended to. A flag's value is 1, t, T, true, TRUE, True or 0, f, F, …; anything else
/// is Code::usage.
base::Result<void> add_environment(Arguments& arguments, std::span<const OptionGroup> groups,
                                   const EnvironmentView& environment);

/// A new directory for temporary files, in the one that the first of SLIPWAY_, APPTAINER_ and
/// SINGULARITY_TMPDIR and TMPDIR names, else in /tmp. Errors name the variable.
base::Result<base::TempDir> temporary_directory(const EnvironmentView& environment,
                                                const std::string& prefix);

/// The variables that stand for an option as help and manuals name them: "SLIPWAY_BIND, …".
std::string variable_names(const Option& option);

} // namespace slipway::cli
