// SPDX-License-Identifier: Apache-2.0
#include "cli/options.hpp"

#include "base/format.hpp"
#include "base/text.hpp"
#include "cli/product.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>

namespace slipway::cli {
namespace {

using base::Code;
using base::fail;
using base::in_quotes;
using base::Result;

bool is_true(std::string_view text) {
    constexpr std::array<std::string_view, 6> words{"1", "t", "T", "TRUE", "true", "True"};
    return std::find(words.begin(), words.end(), text) != words.end();
}

bool is_false(std::string_view text) {
    constexpr std::array<std::string_view, 6> words{"0", "f", "F", "FALSE", "false", "False"};
    return std::find(words.begin(), words.end(), text) != words.end();
}

bool has_word(std::string_view words, std::string_view word) {
    const auto list = base::split(words, ' ');
    return std::find(list.begin(), list.end(), word) != list.end();
}

/// Whether an option may have this value; `source` is what gave it.
Result<void> check_value(const Option& option, const std::string& source, std::string_view value) {
    if (option.kind == OptionKind::flag) {
        return {};
    }
    if (base::trim(value).empty()) {
        return fail(Code::usage, source + " has an empty value",
                    "is a variable empty? If not, leave it out");
    }
    const auto pieces = option.kind == OptionKind::list ? base::split(value, ',')
                                                        : std::vector<std::string_view>{value};
    for (const auto piece : pieces) {
        if (option.check == nullptr || piece.empty()) {
            continue;
        }
        if (auto checked = option.check(piece); !checked) {
            return base::Unexpected(std::move(checked).error().context(source));
        }
    }
    return {};
}

class Parser {
  public:
    Parser(std::span<const OptionGroup> groups, std::span<const std::string> arguments, Words words)
        : groups_(groups), rest_(arguments), words_(words) {}

    Result<Arguments> run() {
        while (!rest_.empty()) {
            const std::string argument = next();
            if (argument == "--") {
                take_words();
            } else if (argument.starts_with("--")) {
                TRY(long_option(std::string_view(argument).substr(2)));
            } else if (argument.size() > 1 && argument.front() == '-') {
                TRY(letters(std::string_view(argument).substr(1)));
            } else {
                result_.add_word(argument);
                if (words_ == Words::end_options) {
                    take_words();
                }
            }
        }
        return std::move(result_);
    }

  private:
    std::string next() {
        auto argument = rest_.front();
        rest_ = rest_.subspan(1);
        return argument;
    }

    void take_words() {
        while (!rest_.empty()) {
            result_.add_word(next());
        }
    }

    template <typename Match>
    const Option* find(Match match) const {
        for (const auto& group : groups_) {
            for (const auto& option : group.options) {
                if (match(option)) {
                    return &option;
                }
            }
        }
        return nullptr;
    }

    Result<void> long_option(std::string_view text) {
        const auto equals = text.find('=');
        const auto name = text.substr(0, equals);
        const auto* option = find([&](const Option& candidate) {
            return candidate.name == name ||
                   (!candidate.alias.empty() && has_word(candidate.alias, name));
        });
        if (option == nullptr) {
            return name == "help" ? wants_help() : unknown(name);
        }
        const auto spelling = fmt::format("--{}", name);
        if (equals != std::string_view::npos) {
            return accept(*option, spelling, std::string(text.substr(equals + 1)));
        }
        return without_value(*option, spelling);
    }

    /// -abc: flags, the last may take the rest or the next argument as its value.
    Result<void> letters(std::string_view text) {
        while (!text.empty()) {
            const char letter = text.front();
            text.remove_prefix(1);
            const auto* option =
                find([&](const Option& candidate) { return candidate.letter == letter; });
            if (option == nullptr && letter == 'h') {
                TRY(wants_help());
                continue;
            }
            const auto spelling = fmt::format("-{}", letter);
            if (option == nullptr) {
                return fail(Code::usage, "unknown option " + in_quotes(spelling),
                            "options of the command go after the image; see the verb's --help");
            }
            if (text.starts_with('=')) {
                return accept(*option, spelling, std::string(text.substr(1)));
            }
            if (option->kind != OptionKind::flag && !text.empty()) {
                return accept(*option, spelling, std::string(text));
            }
            TRY(without_value(*option, spelling));
        }
        return {};
    }

    Result<void> without_value(const Option& option, const std::string& spelling) {
        if (option.kind == OptionKind::flag) {
            return accept(option, spelling, "true");
        }
        if (rest_.empty()) {
            if (!option.unsupported.empty()) {
                return refuse(option, spelling);
            }
            return fail(Code::usage, fmt::format("option {} needs a value", spelling),
                        fmt::format("write {} {}", spelling, option.value));
        }
        return accept(option, spelling, next());
    }

    Result<void> accept(const Option& option, const std::string& spelling, std::string value) {
        if (option.kind == OptionKind::flag) {
            if (!is_true(value) && !is_false(value)) {
                return fail(Code::usage,
                            fmt::format("option {} has the value {}", spelling, in_quotes(value)),
                            "it takes none, or true or false");
            }
            value = is_true(value) ? "true" : "false";
        }
        if (!option.unsupported.empty() && value != "false") {
            return refuse(option, spelling);
        }
        TRY(check_value(option, spelling, value));
        result_.add(option, std::move(value), spelling);
        return {};
    }

    static Result<void> refuse(const Option& option, const std::string& spelling) {
        return fail(Code::unsupported, fmt::format("option {} is not supported", spelling),
                    std::string(option.unsupported));
    }

    Result<void> wants_help() {
        result_.want_help();
        return {};
    }

    Result<void> unknown(std::string_view name) const {
        std::vector<std::string_view> known{"help"};
        for (const auto& group : groups_) {
            for (const auto& option : group.options) {
                known.push_back(option.name);
            }
        }
        const auto near = base::did_you_mean(name, known);
        return fail(Code::usage, "unknown option " + in_quotes(fmt::format("--{}", name)),
                    near.empty() ? "see the verb's --help"
                                 : fmt::format("did you mean --{}?", near));
    }

    std::span<const OptionGroup> groups_;
    std::span<const std::string> rest_;
    Words words_;
    Arguments result_;
};

/// Most environments have none or a few of these among hundreds of variables.
EnvironmentView with_option_prefix(const EnvironmentView& environment) {
    std::vector<std::string> few;
    for (const auto& variable : environment.variables()) {
        for (const auto prefix : option_prefixes()) {
            if (variable.starts_with(prefix)) {
                few.push_back(variable);
                break;
            }
        }
    }
    return EnvironmentView(std::move(few));
}

/// The variable that stands for one of an option's names, by the first prefix that has it.
std::optional<std::pair<std::string, std::string_view>>
variable_for(std::string_view name, const EnvironmentView& environment) {
    for (const auto prefix : option_prefixes()) {
        auto variable = std::string(prefix) + std::string(name);
        const auto value = environment.get(variable);
        if (value && !base::trim(*value).empty()) {
            return std::pair(std::move(variable), *value);
        }
    }
    return std::nullopt;
}

Result<void> add_variable(Arguments& arguments, const Option& option, const std::string& variable,
                          std::string_view value) {
    std::string text(value);
    if (option.kind == OptionKind::flag) {
        const auto word = base::trim(value);
        if (!is_true(word) && !is_false(word)) {
            return fail(Code::usage,
                        fmt::format("the environment variable {} is {}, neither true nor false",
                                    variable, in_quotes(value)),
                        "set it to 1 or 0, or unset it");
        }
        text = is_true(word) ? "true" : "false";
    }
    if (!option.unsupported.empty()) {
        if (text == "false") {
            return {};
        }
        return fail(Code::unsupported,
                    fmt::format("option --{}, asked for by the environment variable {}, is not "
                                "supported",
                                option.name, variable),
                    fmt::format("unset {}; {}", variable, option.unsupported));
    }
    TRY(check_value(option, variable, text));
    arguments.add(option, std::move(text), variable);
    return {};
}

} // namespace

std::optional<bool> Arguments::flag_if_given(std::string_view name) const {
    const auto value = text(name);
    return value ? std::optional(*value == "true") : std::nullopt;
}

bool Arguments::flag(std::string_view name) const {
    return flag_if_given(name).value_or(false);
}

const Arguments::Given* Arguments::last(std::string_view name) const {
    const auto found = std::find_if(given_.rbegin(), given_.rend(),
                                    [&](const Given& given) { return given.option->name == name; });
    return found == given_.rend() ? nullptr : &*found;
}

std::optional<std::string> Arguments::text(std::string_view name) const {
    const auto* given = last(name);
    return given == nullptr ? std::nullopt : std::optional(given->value);
}

std::vector<std::string> Arguments::list(std::string_view name) const {
    std::vector<std::string> values;
    for (const auto& [option, value, source] : given_) {
        if (option->name != name) {
            continue;
        }
        if (option->kind == OptionKind::texts) {
            values.push_back(value);
            continue;
        }
        for (const auto piece : base::split(value, ',')) {
            if (!piece.empty()) {
                values.emplace_back(piece);
            }
        }
    }
    return values;
}

Result<Arguments> parse_arguments(std::span<const OptionGroup> groups,
                                  std::span<const std::string> arguments, Words words) {
    return Parser(groups, arguments, words).run();
}

EnvironmentView EnvironmentView::of_process() {
    std::vector<std::string> variables;
    for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
        variables.emplace_back(*entry);
    }
    return EnvironmentView(std::move(variables));
}

std::optional<std::string_view> EnvironmentView::get(std::string_view name) const {
    for (const auto& variable : variables_) {
        if (variable.size() > name.size() && variable[name.size()] == '=' &&
            variable.starts_with(name)) {
            return std::string_view(variable).substr(name.size() + 1);
        }
    }
    return std::nullopt;
}

std::string variable_names(const Option& option) {
    return base::joined(base::split(option.environment, ' '), ", ", [](std::string_view name) {
        return std::string(option_prefixes().front()) + std::string(name);
    });
}

Result<base::TempDir> temporary_directory(const EnvironmentView& environment,
                                          const std::string& prefix) {
    const auto usual = option_prefixes();
    std::vector<std::string_view> fronts(usual.begin(), usual.end());
    fronts.emplace_back(); // TMPDIR itself
    for (const auto front : fronts) {
        const auto variable = std::string(front) + "TMPDIR";
        const auto value = environment.get(variable).value_or("");
        if (value.empty()) {
            continue;
        }
        if (!value.starts_with('/')) {
            return fail(Code::option_invalid,
                        fmt::format("{} is {}, not an absolute path", variable, in_quotes(value)),
                        "begin it with /");
        }
        auto directory = base::TempDir::create_and_sweep(prefix, std::string(value));
        if (!directory) {
            return base::Unexpected(
                std::move(directory).error().context(variable).with_hint(
                    fmt::format("let {} name a directory in which you may write", variable)));
        }
        return directory;
    }
    return base::TempDir::create_and_sweep(prefix, "/tmp");
}

Result<void> add_environment(Arguments& arguments, std::span<const OptionGroup> groups,
                             const EnvironmentView& environment) {
    const auto candidates = with_option_prefix(environment);
    if (candidates.variables().empty()) {
        return {};
    }
    for (const auto& group : groups) {
        for (const auto& option : group.options) {
            if (option.environment.empty()) {
                continue;
            }
            const bool collects =
                option.kind == OptionKind::list || option.kind == OptionKind::texts;
            for (const auto name : base::split(option.environment, ' ')) {
                if (!collects && arguments.text(option.name)) {
                    break;
                }
                if (const auto found = variable_for(name, candidates)) {
                    TRY(add_variable(arguments, option, found->first, found->second));
                }
            }
        }
    }
    return {};
}

} // namespace slipway::cli
