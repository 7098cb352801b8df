// SPDX-License-Identifier: Apache-2.0
// What a verb takes besides its name, held to the table of verbs.
#include "base/format.hpp"
#include "base/text.hpp"
#include "cli/verbs.hpp"

#include <algorithm>

namespace slipway::cli {
namespace {

using base::Code;
using base::fail;
using base::in_quotes;
using base::Result;

const Form* form_named(const Verb& verb, std::string_view word) {
    const auto found = std::find_if(verb.forms.begin(), verb.forms.end(),
                                    [&](const Form& form) { return form.word == word; });
    return found == verb.forms.end() ? nullptr : &*found;
}

/// "config check, config show or config example".
std::string form_list(const Verb& verb, const std::vector<std::string_view>& names) {
    std::string text;
    for (std::size_t i = 0; i < names.size(); ++i) {
        text += fmt::format("{}{} {}", i == 0 ? "" : i + 1 == names.size() ? " or " : ", ",
                            verb.name, names[i]);
    }
    return text;
}

Result<const Form*> form_for(const Verb& verb, const std::vector<std::string>& words) {
    std::vector<std::string_view> names;
    for (const auto& form : verb.forms) {
        if (!form.word.empty()) {
            names.push_back(form.word);
        }
    }
    const auto word = words.empty() || names.empty() ? std::string_view() : words.front();
    if (const auto* form = form_named(verb, word); form != nullptr) {
        return form;
    }
    const auto near = base::did_you_mean(word, names);
    return fail(Code::usage,
                words.empty() ? fmt::format("{} needs a word behind it", verb.name)
                              : fmt::format("{} does not know {}", verb.name, in_quotes(word)),
                near.empty() ? "write " + form_list(verb, names)
                             : fmt::format("did you mean {}?", near));
}

/// Whether the option is one of the verb's own, and not one of every verb.
bool is_own(const Verb& verb, std::string_view name) {
    return std::any_of(verb.options.begin(), verb.options.end(), [&](const OptionGroup& group) {
        return std::any_of(group.options.begin(), group.options.end(),
                           [&](const Option& option) { return option.name == name; });
    });
}

bool counts(const Verb& verb, const Form& form, std::string_view name) {
    if (!is_own(verb, name)) {
        return form.site || name != "config";
    }
    const auto names = base::split(form.options, ' ');
    return form.options == "*" || std::find(names.begin(), names.end(), name) != names.end();
}

} // namespace

Result<void> check_form(const Verb& verb, const Arguments& arguments) {
    const auto& words = arguments.words();
    TRY_ASSIGN(const auto* const form, form_for(verb, words));
    const auto name = fmt::format("{}{}{}", verb.name, form->word.empty() ? "" : " ", form->word);
    const auto see = fmt::format("see slipway {} --help", verb.name);
    const std::size_t own = form->word.empty() ? 0 : 1;
    if (words.size() - own < form->least) {
        return fail(Code::usage, fmt::format("{} needs {}", name, form->takes), see);
    }
    if (words.size() - own > form->most) {
        return fail(Code::usage, "unexpected argument " + in_quotes(words[own + form->most]), see);
    }
    for (const auto& given : arguments.given()) {
        if (!counts(verb, *form, given.option->name)) {
            return fail(Code::usage, fmt::format("{} has no effect on {}", given.source, name),
                        "leave it out");
        }
    }
    return {};
}

} // namespace slipway::cli
