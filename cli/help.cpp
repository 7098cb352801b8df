// SPDX-License-Identifier: Apache-2.0
#include "cli/help.hpp"

#include "base/format.hpp"
#include "base/text.hpp"
#include "image/transports.hpp"

namespace slipway::cli {
namespace {

constexpr std::size_t line_width = 80;

std::string wrapped(std::string_view text, std::size_t indent) {
    return base::wrapped(text, std::string(indent, ' '), line_width);
}

std::string paragraphs(std::string_view text) {
    std::string out;
    while (!text.empty()) {
        const auto end = text.find("\n\n");
        out += (out.empty() ? "" : "\n") + wrapped(text.substr(0, end), 0);
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 2);
    }
    return out;
}

std::string option_text(const Option& option, char letter) {
    std::string out = letter != 0 ? fmt::format("  -{}, ", letter) : "      ";
    out += fmt::format("--{}", option.name);
    if (!option.alias.empty()) {
        for (const auto alias : base::split(option.alias, ' ')) {
            out += fmt::format(", --{}", alias);
        }
    }
    out += option.value.empty() ? "\n" : fmt::format(" {}\n", option.value);
    std::string doc(option.doc);
    if (!option.environment.empty()) {
        doc += fmt::format(" [{}]", variable_names(option));
    }
    return out + wrapped(doc, 10);
}

std::string group_text(const OptionGroup& group, std::span<const OptionGroup> all) {
    std::string out;
    for (const auto& option : group.options) {
        if (option.unsupported.empty()) {
            out += option_text(option, effective_letter(option, all));
        }
    }
    return out.empty() ? out : fmt::format("\n{}:\n{}", group.title, out);
}

std::string refused_text(std::span<const OptionGroup> groups) {
    std::string names;
    for (const auto& group : groups) {
        for (const auto& option : group.options) {
            if (!option.unsupported.empty()) {
                names += (names.empty() ? "--" : ", --") + std::string(option.name);
            }
        }
    }
    return names.empty() ? names
                         : "\nRecognised, but not supported by this version:\n" + wrapped(names, 2);
}

constexpr std::string_view image_text =
    "IMAGE is a SIF file, a SquashFS file (.sqsh, .sqfs) or a directory with a root file system. It "
    "may also be a name with a transport ({transports}) or a plain Docker reference such as "
    "debian:12: such an image is fetched into the store first, unless it is there already.\n\n"
    "Options end at the image: what follows it belongs to the command.\n\n"
    "Most options can be set by environment variables named SLIPWAY_, APPTAINER_ or SINGULARITY_ "
    "and the name shown below; the option wins over the variable, except that lists are added up. "
    "SLIPWAYENV_NAME, APPTAINERENV_NAME and SINGULARITYENV_NAME set the variable NAME in the "
    "container. Variables of the image win over those of the host; --env wins over all.";

void fill_in(std::string& text, std::string_view placeholder, std::string_view words) {
    const auto at = text.find(placeholder);
    if (at != std::string::npos) {
        text.replace(at, placeholder.size(), words);
    }
}

} // namespace

std::string explained(const Verb& verb) {
    std::string text(verb.description);
    fill_in(text, "{image}", image_text);
    fill_in(text, "{transports}", image::transport_examples);
    return text;
}

std::string usage_text(const Verb& verb) {
    std::string out;
    for (const auto line : base::split(verb.synopsis, '\n')) {
        out += fmt::format("{}slipway {}\n", out.empty() ? "Usage: " : "       ", line);
    }
    return out;
}

std::string help_text(const Verb& verb) {
    std::string out = usage_text(verb) + '\n' + paragraphs(explained(verb));
    const auto groups = all_options(verb);
    for (const auto& group : groups) {
        out += group_text(group, groups);
    }
    out += refused_text(groups);
    if (!verb.examples.empty()) {
        out += "\nExamples:\n";
        for (const auto& example : verb.examples) {
            out += fmt::format("  {}\n", example.command) + wrapped(example.comment, 10);
        }
    }
    return out;
}

std::string overview_text() {
    std::string out = "Usage: slipway [OPTIONS] VERB …\n\n"
                      "Runs containers, at the prompt and in Slurm jobs.\n\nVerbs:\n";
    for (const auto& verb : verbs()) {
        out += fmt::format("  {:<10} {}\n", verb.name, verb.summary);
    }
    for (const auto& group : global_options()) {
        out += group_text(group, global_options());
    }
    return out + "\nslipway help VERB explains one. In Slurm jobs: srun --container-image=IMAGE "
                 "COMMAND.\n";
}

} // namespace slipway::cli
