// SPDX-License-Identifier: Apache-2.0
#include "base/format.hpp"
#include "base/text.hpp"
#include "config/schema.hpp"

#include <algorithm>
#include <array>

namespace slipway::config {
namespace {

constexpr std::size_t line_width = 96;

/// `text` as comment lines behind `indent`.
std::string comment(std::string_view text, std::string_view indent) {
    std::string out;
    std::string line;
    for (const auto word : base::split(text, ' ')) {
        if (!line.empty() && indent.size() + 3 + line.size() + word.size() > line_width) {
            out += fmt::format("{}# {}\n", indent, line);
            line.clear();
        }
        line += (line.empty() ? "" : " ") + std::string(word);
    }
    return out + fmt::format("{}# {}\n", indent, line);
}

std::string example_key(const Key& key, std::string_view indent) {
    auto out = comment(key.doc, indent);
    auto facts = "Value: " + key.type() + ".";
    if (!key.example.empty()) {
        const auto value = default_text(key);
        const bool nothing = value == "\"\"" || value == "[]" || value == "{}" || value == "none";
        facts += nothing ? " Default: none." : " Default: " + value + ".";
    }
    out += comment(facts, indent);
    return out + fmt::format("{}#{}: {}\n", indent, key.name,
                             key.example.empty() ? default_text(key) : std::string(key.example));
}

bool is_plain(std::string_view text) {
    constexpr std::array<std::string_view, 9> words{"true", "false", "yes", "no", "on",
                                                    "off",  "null",  "y",   "n"};
    constexpr std::string_view inner = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                       "0123456789_./:+-";
    const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
    // A letter or / in front keeps clear of numbers, dates and every YAML indicator.
    return !text.empty() && (letter(text.front()) || text.front() == '/') &&
           text.find_first_not_of(inner) == std::string_view::npos && text.back() != ':' &&
           std::find(words.begin(), words.end(), text) == words.end();
}

} // namespace

std::string yaml_scalar(std::string_view text) {
    if (is_plain(text)) {
        return std::string(text);
    }
    std::string out = "\"";
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (byte < 0x20 || byte == 0x7F) {
            out += fmt::format("\\x{:02x}", byte);
        } else {
            out += c;
        }
    }
    return out + '"';
}

std::string example_file() {
    std::string out = "# Site configuration of Slipway, to be installed as "
                      "/etc/slipway/slipway.yaml. The file must\n"
                      "# belong to root, be writable for nobody else and readable for everybody. "
                      "Every key is shown,\n"
                      "# commented out, with its default value or with an example; remove the # in "
                      "front of a key\n"
                      "# to set it. `slipway config check FILE` tells mistakes, `slipway config "
                      "show` prints what is\n"
                      "# in force, slipway.yaml(5) explains more. Sizes are powers of 1024.\n";
    for (const auto& section : sections()) {
        out += '\n' + comment(section.doc, "");
        out += fmt::format("{}:\n", section.name);
        const bool registries = section.name == "registries";
        out += registries ? "  #docker.io:\n" : "";
        std::string gap;
        for (const auto& key : keys()) {
            if (key.section == section.name) {
                out += gap + example_key(key, registries ? "    " : "  ");
                gap = '\n';
            }
        }
    }
    return out;
}

std::string show(const Config& config) {
    std::string out;
    for (const auto& section : sections()) {
        if (section.name == "registries") {
            out += config.registries.empty() ? "registries: {}\n" : "registries:\n";
            for (const auto& [host, registry] : config.registries) {
                out += fmt::format("  {}:\n", yaml_scalar(host));
                for (const auto& key : keys()) {
                    if (key.section == "registries" && key.get(&registry) != default_text(key)) {
                        out += fmt::format("    {}: {}\n", key.name, key.get(&registry));
                    }
                }
            }
            continue;
        }
        out += fmt::format("{}:\n", section.name);
        for (const auto& key : keys()) {
            if (key.section != section.name) {
                continue;
            }
            // An empty text cannot be written for a path; the key is left out, as in the file.
            const auto value = key.get(&config);
            out += value == "\"\"" ? "" : fmt::format("  {}: {}\n", key.name, value);
        }
    }
    return out;
}

} // namespace slipway::config
