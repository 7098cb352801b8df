// SPDX-License-Identifier: Apache-2.0
#include "spank/options.hpp"

#include "base/format.hpp"
#include "base/text.hpp"

#include <algorithm>
#include <cctype>

namespace slipway::spank {
namespace {

using base::Code;
using base::Error;
using base::Result;

constexpr std::string_view no_container = "none";

std::string option_text(OptionId id) {
    return fmt::format("--{}", row_of(id).name);
}

base::Unexpected invalid(OptionId id, std::string_view value, std::string_view why,
                         std::string hint) {
    return base::fail(Code::option_invalid,
                      fmt::format("{}={}: {}", option_text(id), base::in_quotes(value, 80), why),
                      std::move(hint));
}

Result<void> check_text(OptionId id, std::string_view value) {
    if (value.size() > max_option_bytes) {
        return base::fail(Code::option_too_long,
                          fmt::format("the value of {} is {} bytes long, more than {}",
                                      option_text(id), value.size(), max_option_bytes),
                          "shorten it; many mounts may be replaced by one of a common directory");
    }
    const bool control = std::any_of(value.begin(), value.end(), [](char c) {
        const auto byte = static_cast<unsigned char>(c);
        return byte < 0x20 || byte == 0x7f;
    });
    if (control) {
        return invalid(id, value, "control characters are not allowed",
                       "check the quoting of the command line");
    }
    return {};
}

Result<void> check_mounts(OptionId id, std::string_view value) {
    for (const auto part : base::split(value, ',')) {
        const auto fields = base::split(part, ':');
        const bool empty = std::any_of(fields.begin(), fields.end(),
                                       [](std::string_view field) { return field.empty(); });
        if (part.empty() || empty || fields.size() > 3) {
            return invalid(id, value,
                           fmt::format("{} is not SRC:DST[:FLAGS]", base::in_quotes(part, 80)),
                           "write SRC:DST, or SRC:DST:ro, and commas between several mounts");
        }
    }
    return {};
}

bool is_variable_name(std::string_view name) noexcept {
    const auto allowed = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
               (c >= '0' && c <= '9');
    };
    return !name.empty() && !(name.front() >= '0' && name.front() <= '9') &&
           std::all_of(name.begin(), name.end(), allowed);
}

Result<void> check_names(OptionId id, std::string_view value) {
    for (const auto name : base::split(value, ',')) {
        if (!is_variable_name(name)) {
            return invalid(
                id, value,
                fmt::format("{} is not the name of a variable", base::in_quotes(name, 80)),
                "write names with commas between them, without values");
        }
    }
    return {};
}

Result<void> check_value(OptionId id, std::string_view value) {
    TRY(check_text(id, value));
    switch (id) {
    case OptionId::image:
        if (base::trim(value).empty()) {
            return base::fail(Code::option_invalid, option_text(id) + " names no image",
                              "name an image (is a variable empty?), or say none");
        }
        return {};
    case OptionId::mounts:
        return value.empty() ? Result<void>() : check_mounts(id, value);
    case OptionId::workdir:
        if (!value.empty() && value.front() != '/') {
            return invalid(id, value, "not an absolute path", "begin it with /");
        }
        return {};
    case OptionId::environment:
        return value.empty() ? Result<void>() : check_names(id, value);
    default:
        break;
    }
    if (!parse_switch(value)) {
        return invalid(id, value, "neither on nor off", "say on or off, or leave the value away");
    }
    return {};
}

bool is_plain(char c) noexcept {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("/._:@,+-").find(c) != std::string_view::npos;
}

std::string escape(std::string_view text) {
    std::string out;
    for (const char c : text) {
        if (is_plain(c)) {
            out += c;
        } else {
            out += fmt::format("%{:02x}", static_cast<unsigned>(static_cast<unsigned char>(c)));
        }
    }
    return out;
}

int hex_digit(char c) noexcept {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

std::optional<std::string> unescape(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            if (!is_plain(text[i])) {
                return std::nullopt;
            }
            out += text[i];
            continue;
        }
        const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
        const int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
        if (high < 0 || low < 0) {
            return std::nullopt;
        }
        out += static_cast<char>(high * 16 + low);
        i += 2;
    }
    return out;
}

base::Unexpected bad_carrier() {
    return base::fail(Code::option_invalid,
                      fmt::format("the variable {} is damaged", carrier_variable),
                      "do not set it by hand; it belongs to srun and sbatch");
}

} // namespace

const OptionRow& row_of(OptionId id) noexcept {
    return option_table[static_cast<std::size_t>(id)];
}

const OptionRow* row_named(std::string_view name) noexcept {
    const auto found = std::find_if(std::begin(option_table), std::end(option_table),
                                    [&](const OptionRow& row) { return row.name == name; });
    return found == std::end(option_table) ? nullptr : &*found;
}

Result<bool> parse_switch(std::string_view text) {
    std::string lower(text);
    std::transform(lower.begin(), lower.end(), lower.begin(), [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    constexpr std::string_view yes[] = {"on", "yes", "y", "true", "1"};
    constexpr std::string_view no[] = {"off", "no", "n", "false", "0"};
    if (std::find(std::begin(yes), std::end(yes), lower) != std::end(yes)) {
        return true;
    }
    if (std::find(std::begin(no), std::end(no), lower) != std::end(no)) {
        return false;
    }
    return base::fail(Code::option_invalid, base::in_quotes(text, 80) + " is neither on nor off",
                      "say on or off");
}

void Options::take(OptionId id, const char* argument) {
    const std::string_view value = argument == nullptr ? "" : argument;
    if (row_of(id).argument_optional && (value.empty() || value == "(null)")) {
        take(id, std::string_view("on"));
    } else {
        take(id, value);
    }
}

void Options::take(OptionId id, std::string_view value) {
    Entry fresh;
    fresh.given = true;
    fresh.order = next_order_++;
    if (auto checked = check_value(id, value); !checked) {
        fresh.error = std::move(checked).error();
    } else {
        fresh.value = value;
    }
    entries_[static_cast<std::size_t>(id)] = std::move(fresh);
}

const Options::Entry& Options::entry(OptionId id) const noexcept {
    return entries_[static_cast<std::size_t>(id)];
}

bool Options::given(OptionId id) const noexcept {
    return entry(id).given;
}

std::string_view Options::value(OptionId id) const noexcept {
    return entry(id).value;
}

bool Options::wants_container() const noexcept {
    const auto& image = entry(OptionId::image);
    return image.given && image.value != no_container;
}

Switch Options::later_of(OptionId positive, OptionId negative) const {
    const bool use_negative = entry(negative).order > entry(positive).order;
    const auto& winner = use_negative ? entry(negative) : entry(positive);
    if (!winner.given) {
        return Switch::site_default;
    }
    const auto on = parse_switch(winner.value);
    return on && *on != use_negative ? Switch::on : Switch::off;
}

Result<Settings> Options::settings() const {
    const Entry* first = nullptr;
    for (const auto& candidate : entries_) {
        if (candidate.error && (first == nullptr || candidate.order < first->order)) {
            first = &candidate;
        }
    }
    if (first != nullptr) {
        return base::Unexpected(*first->error);
    }
    Settings settings;
    if (wants_container()) {
        settings.image = entry(OptionId::image).value;
    }
    settings.mounts = entry(OptionId::mounts).value;
    settings.workdir = entry(OptionId::workdir).value;
    if (const auto& names = entry(OptionId::environment).value; !names.empty()) {
        for (const auto name : base::split(names, ',')) {
            settings.environment.emplace_back(name);
        }
    }
    settings.mount_home = later_of(OptionId::mount_home, OptionId::no_mount_home);
    settings.writable = later_of(OptionId::writable, OptionId::readonly);
    settings.batch = later_of(OptionId::batch, OptionId::batch);
    return settings;
}

std::vector<std::pair<OptionId, std::string>> canonical_options(const Settings& settings,
                                                                const std::string& image) {
    std::vector<std::pair<OptionId, std::string>> list;
    const auto add_text = [&](OptionId id, const std::string& value) {
        if (!value.empty()) {
            list.emplace_back(id, value);
        }
    };
    const auto add_switch = [&](OptionId id, Switch value) {
        if (value != Switch::site_default) {
            list.emplace_back(id, value == Switch::on ? "on" : "off");
        }
    };
    add_text(OptionId::image, image);
    add_text(OptionId::mounts, settings.mounts);
    add_text(OptionId::workdir, settings.workdir);
    add_switch(OptionId::mount_home, settings.mount_home);
    std::string names;
    for (const auto& name : settings.environment) {
        names += names.empty() ? name : "," + name;
    }
    add_text(OptionId::environment, names);
    add_switch(OptionId::writable, settings.writable);
    add_switch(OptionId::batch, settings.batch);
    return list;
}

std::string encode_settings(const Settings& settings) {
    std::string text = "path=" + escape(settings.path);
    for (const auto& [id, value] : canonical_options(settings, settings.image)) {
        text += fmt::format(";{}={}", row_of(id).name, escape(value));
    }
    return text;
}

Result<Settings> decode_settings(std::string_view text) {
    // Escaping makes three bytes of one; names and separators are short.
    if (text.size() > (option_count + 1) * (3 * max_option_bytes + 64)) {
        return bad_carrier();
    }
    Options options;
    std::optional<std::string> path;
    for (const auto part : base::split(text, ';')) {
        const auto equals = part.find('=');
        if (equals == std::string_view::npos) {
            return bad_carrier();
        }
        const auto name = part.substr(0, equals);
        auto value = unescape(part.substr(equals + 1));
        const auto* row = row_named(name);
        const bool again = row != nullptr ? options.given(row->id) : path.has_value();
        if (!value || again || (row == nullptr && name != "path")) {
            return bad_carrier();
        }
        if (row != nullptr) {
            options.take(row->id, std::string_view(*value));
        } else {
            path = std::move(value);
        }
    }
    TRY_ASSIGN(auto settings, options.settings());
    if (!path || !settings.wants_container()) {
        return bad_carrier();
    }
    TRY(check_image_path(*path));
    settings.path = std::move(*path);
    return settings;
}

std::string slurm_option_variable(const std::string& option_name) {
    // As plugstack.c does it: everything but letters and digits becomes '_'.
    std::string name(slurm_option_variable_prefix);
    for (const char c : option_name) {
        name += std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
    }
    return name;
}

std::string inherited_variable(const std::string& option_name) {
    return "SLURM_SPANK_" + slurm_option_variable(option_name);
}

Result<void> check_image_path(std::string_view path) {
    TRY(check_text(OptionId::image, path));
    if (path.empty() || path.front() != '/') {
        return invalid(
            OptionId::image, path, "not an absolute path",
            "set the image with --container-image on the command line of srun or sbatch");
    }
    return {};
}

} // namespace slipway::spank
