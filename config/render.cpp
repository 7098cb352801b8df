// SPDX-License-Identifier: Apache-2.0
#include "base/format.hpp"
#include "base/text.hpp"
#include "base/words.hpp"
#include "config/schema.hpp"

#include <algorithm>
#include <array>

namespace slipway::config {
namespace {

constexpr std::size_t line_width = 96;

/// `text` as comment lines behind `indent`.
std::string comment(std::string_view text, const std::string& indent) {
    return base::wrapped(text, indent + "# ", line_width);
}

constexpr std::size_t step = 2; ///< of indentation

std::string blanks(std::size_t count) {
    return std::string(count, ' ');
}

/// A value that stands for nothing.
bool is_nothing(std::string_view value) {
    return value == "\"\"" || value == "[]" || value == "{}" || value == "none";
}

std::string example_field(const Record& record, const Field& field, std::size_t indent,
                          std::string_view dash) {
    const auto front = blanks(indent - dash.size());
    auto out = comment(field.doc, front);
    if (field.shape != Field::Shape::value) {
        // Sections stand as they are, all below them is commented out.
        const std::string_view hash = indent == 0 ? "" : "#";
        out += fmt::format("{}{}{}:\n", blanks(indent), hash, field.name);
        if (field.shape == Field::Shape::map) {
            out += fmt::format("{}#{}:\n", blanks(indent + step), field.example);
        }
        return out + example_of(*field.records,
                                indent + (field.shape == Field::Shape::one ? step : 2 * step),
                                field.shape == Field::Shape::list);
    }
    const auto value = default_text(record, field);
    auto facts = "Value: " + field.type() + ".";
    if (!field.example.empty()) {
        facts += " Default: " + (is_nothing(value) ? "none" : value) + ".";
    }
    out += comment(facts, front);
    return out + fmt::format("{}#{}{}: {}\n", front, dash, field.name,
                             field.example.empty() ? value : field.example);
}

/// The records below a key, each without what is as it is by default.
std::string show_entries(const Field& field, const Entries& entries, std::size_t indent) {
    std::string out;
    for (const auto& [name, entry] : entries) {
        auto lines = show_record(*field.records, entry, indent + step, true);
        if (field.shape == Field::Shape::map) {
            out += fmt::format("{}{}:\n{}", blanks(indent), yaml_scalar(name), lines);
        } else {
            out += lines.empty() ? blanks(indent) + "- {}\n" : lines.replace(indent, step, "- ");
        }
    }
    return out;
}

bool is_plain(std::string_view text) {
    constexpr std::array<std::string_view, 9> words{"true", "false", "yes", "no", "on",
                                                    "off",  "null",  "y",   "n"};
    constexpr std::string_view inner = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                       "0123456789_./:+-";
    // A letter or / in front keeps clear of numbers, dates and every YAML indicator.
    return !text.empty() && (base::is_letter(text.front()) || text.front() == '/') &&
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
    const std::string_view about =
        "Site configuration of Slipway, to be installed as /etc/slipway/slipway.yaml. The file "
        "must "
        "belong to root, be writable for nobody else and readable for everybody. Every key is "
        "shown, commented out, with its default value or with an example; remove the # in front of "
        "a key to set it. `slipway config check FILE` reports mistakes, `slipway config show` "
        "prints what is in force, slipway.yaml(5) explains more. Sizes are powers of 1024.";
    return comment(about, "") + example_of(site_record());
}

std::string example_of(const Record& record, std::size_t indent, bool in_list) {
    std::string out;
    for (const auto& field : record.fields) {
        const bool first = &field == record.fields.data();
        out += first && indent != 0 ? "" : "\n";
        out += example_field(record, field, indent, in_list && first ? "- " : "");
    }
    return out;
}

std::string show_record(const Record& record, const void* from, std::size_t indent, bool changed) {
    std::string out;
    for (const auto& field : record.fields) {
        const auto name = fmt::format("{}{}:", blanks(indent), field.name);
        if (field.shape == Field::Shape::value) {
            // An empty text cannot be written for a path; the key is left out, as in the file.
            const auto value = field.get(from);
            const bool left_out =
                value == "\"\"" || (changed && value == default_text(record, field));
            out += left_out ? "" : name + " " + value + "\n";
            continue;
        }
        const auto all = field.all(from);
        const bool one = field.shape == Field::Shape::one;
        const auto below =
            one ? show_record(*field.records, all.front().second, indent + step, changed)
                : show_entries(field, all, indent + step);
        const std::string_view nothing = one                                ? ""
                                         : field.shape == Field::Shape::map ? " {}"
                                                                            : " []";
        if (!below.empty() || !changed) {
            out += fmt::format("{}{}\n{}", name, below.empty() ? nothing : "", below);
        }
    }
    return out;
}

std::string show(const Config& config) {
    return show_record(site_record(), &config);
}

std::string default_text(const Record& record, const Field& field) {
    return field.get(record.defaults());
}

} // namespace slipway::config
