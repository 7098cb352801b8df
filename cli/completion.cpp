// SPDX-License-Identifier: Apache-2.0
#include "base/format.hpp"
#include "base/text.hpp"
#include "cli/help.hpp"

namespace slipway::cli {
namespace {

/// "--bind -B …" of every option that works; with `only_values`, those that take a value.
std::string option_words(std::span<const OptionGroup> groups, bool only_values,
                         std::string_view files = {}) {
    std::string out;
    const auto add = [&](const std::string& word) { out += (out.empty() ? "" : "|") + word; };
    for (const auto& group : groups) {
        for (const auto& option : group.options) {
            if (!option.unsupported.empty() ||
                (only_values && (option.kind == OptionKind::flag || option.files != files))) {
                continue;
            }
            add(fmt::format("--{}", option.name));
            if (option.letter != 0) {
                add(fmt::format("-{}", option.letter));
            }
            if (!option.alias.empty()) {
                for (const auto alias : base::split(option.alias, ' ')) {
                    add(fmt::format("--{}", alias));
                }
            }
        }
    }
    return out;
}

std::string replaced(std::string text, char from, char to) {
    for (char& c : text) {
        c = c == from ? to : c;
    }
    return text;
}

std::string verb_names() {
    return base::joined(verbs(), " ", [](const Verb& verb) { return verb.name; });
}

std::string form_words(const Verb& verb) {
    std::string out;
    for (const auto& form : verb.forms) {
        out += (out.empty() || form.word.empty() ? "" : " ") + std::string(form.word);
    }
    return out;
}

/// One branch of the case over verbs: its options, which of them take what, and its words.
std::string branch(const Verb& verb) {
    const auto groups = all_options(verb);
    auto out = fmt::format("        {})\n            options=\"{} --help\"\n", verb.name,
                           replaced(option_words(groups, false), '|', ' '));
    for (const auto kind : {"file", "dir", ""}) {
        const auto names = option_words(groups, true, kind);
        if (!names.empty()) {
            const std::string_view variable = *kind == 'f'   ? "with_file"
                                              : *kind == 'd' ? "with_dir"
                                                             : "with_value";
            out += fmt::format("            {}=\"|{}|\"\n", variable, names);
        }
    }
    if (verb.words == Words::end_options) {
        out += "            stops=1\n";
    }
    const auto words = verb.name == "help" ? verb_names() : form_words(verb);
    if (!words.empty()) {
        out += fmt::format("            words=\"{}\"\n", words);
    }
    return out + "            ;;\n";
}

constexpr std::string_view body_head =
    R"(# SPDX-License-Identifier: Apache-2.0
# bash completion for slipway. Made by: slipway help --completion bash
_slipway() {
    local cur=${COMP_WORDS[COMP_CWORD]} verb="" i word previous=""
    local options="" with_file="" with_dir="" with_value="" words="" stops=""
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if [[ $word != -* ]]; then
            verb=$word
            break
        fi
    done
    case $verb in
)";

constexpr std::string_view body_tail = R"(    esac
    # Behind the verb: what is the word before, and has the image been named already?
    local named=""
    for ((i = i + 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if [[ -n $previous ]]; then
            previous=""
        elif [[ $word == -* && "$with_file$with_dir$with_value" == *"|$word|"* ]]; then
            previous=$word
        elif [[ $word != -* && $word != "=" ]]; then
            named=1
            break
        fi
    done
    if [[ -n $stops && -n $named ]]; then
        compopt -o default 2>/dev/null
    elif [[ -n $previous && $with_dir == *"|$previous|"* ]]; then
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -d -- "$cur")
    elif [[ -n $previous && $with_file == *"|$previous|"* ]]; then
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
    elif [[ -n $previous ]]; then
        return
    elif [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
    elif [[ -n $words && -z $named ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
    else
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
    fi
}
complete -F _slipway slipway
)";

} // namespace

std::string bash_completion() {
    std::string out(body_head);
    for (const auto& verb : verbs()) {
        out += branch(verb);
    }
    out += fmt::format("        \"\")\n            options=\"{} --help --version\"\n"
                       "            words=\"{}\"\n            ;;\n",
                       replaced(option_words(global_options(), false), '|', ' '), verb_names());
    return out + std::string(body_tail);
}

} // namespace slipway::cli
