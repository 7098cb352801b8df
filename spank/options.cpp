// SPDX-License-Identifier: Apache-2.0
#include "spank/options.hpp"

#include "base/format.hpp"
#include "base/text.hpp"
#include "base/words.hpp"
#include "launcher/join/mount_spec.hpp"

#include <algorithm>

namespace slipway::spank {
namespace {

using base::Code;
using base::Error;
using base::Result;

constexpr std::string_view no_container = "none";

base::Unexpected invalid(const std::string& source, std::string_view value, std::string_view why,
                         std::string hint) {
    return base::fail(Code::option_invalid,
                      fmt::format("{}={}: {}", source, base::in_quotes(value, 80), why),
                      std::move(hint));
}

Result<void> check_text(const std::string& source, std::string_view value) {
    TRY(check_length(source, value.size()));
    const bool control = std::any_of(value.begin(), value.end(), [](char c) {
        const auto byte = static_cast<unsigned char>(c);
        return byte < 0x20 || byte == 0x7f;
    });
    if (control) {
        return invalid(source, value, "control characters are not allowed",
                       "check the quoting of the command line");
    }
    return {};
}

Result<void> check_mounts(const std::string& source, std::string_view value) {
    // Without a directory: this side may not know it yet, and what it says decides no syntax.
    auto mounts = launcher::join::parse_mounts({launcher::join::MountSyntax::pyxis, std::string(value)}, {});
    return mounts ? Result<void>() : base::Unexpected(std::move(mounts).error().context(source));
}

Result<void> check_names(const std::string& source, std::string_view value) {
    for (const auto name : base::split(value, ',')) {
        if (!base::is_identifier(name)) {
            return invalid(
                source, value,
                fmt::format("{} is not the name of a variable", base::in_quotes(name, 80)),
                "write names with commas between them, without values");
        }
    }
    return {};
}

Result<void> check_value(const std::string& source, ValueKind kind, std::string_view value) {
    TRY(check_text(source, value));
    if (base::trim(value).empty()) {
        return base::fail(Code::option_invalid, source + " has an empty value",
                          kind == ValueKind::image
                              ? "name an image (is a variable empty?), or say none"
                              : "is a variable empty? If not, leave the option out");
    }
    switch (kind) {
    case ValueKind::image:
        return {};
    case ValueKind::mounts:
        return check_mounts(source, value);
    case ValueKind::directory:
        return value.front() == '/'
                   ? Result<void>()
                   : invalid(source, value, "not an absolute path", "begin it with /");
    case ValueKind::names:
        return check_names(source, value);
    case ValueKind::on_off:
        break;
    }
    return parse_switch(value)
               ? Result<void>()
               : invalid(source, value, "neither on nor off", "say on or off");
}

bool is_plain(char c) noexcept {
    return base::is_alphanumeric(c) ||
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
        const auto digits = text.substr(i + 1, 2);
        const auto byte = base::is_lower_hex(digits) ? base::from_hex(digits) : std::nullopt;
        if (!byte) {
            return std::nullopt;
        }
        out += static_cast<char>(byte->front());
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
    const auto lower = base::to_lower(text);
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
    if (row_of(id).argument_optional() && (value.empty() || value == "(null)")) {
        take(id, std::string_view("on"));
    } else {
        take(id, value);
    }
}

void Options::take(OptionId id, std::string_view value, std::string variable) {
    Entry fresh;
    fresh.given = true;
    fresh.order = next_order_++;
    fresh.size = value.size();
    fresh.value = value.size() <= max_option_bytes ? value : std::string_view();
    fresh.variable = std::move(variable);
    entries_[static_cast<std::size_t>(id)] = std::move(fresh);
}

const Options::Entry& Options::entry(OptionId id) const noexcept {
    return entries_[static_cast<std::size_t>(id)];
}

bool Options::given(OptionId id) const noexcept {
    return entry(id).given;
}

bool Options::any_given() const noexcept {
    return std::any_of(entries_.begin(), entries_.end(),
                       [](const Entry& candidate) { return candidate.given; });
}

bool Options::typed(OptionId id) const noexcept {
    return given(id) && entry(id).variable.empty();
}

std::string Options::source(OptionId id, std::string_view prefix) const {
    const auto& variable = entry(id).variable;
    return variable.empty() ? fmt::format("--{}", option_name(row_of(id), std::string(prefix).c_str()).text)
                            : variable;
}

std::string_view Options::value(OptionId id) const noexcept {
    return entry(id).value;
}

bool Options::wants_container() const noexcept {
    const auto& image = entry(OptionId::image);
    return image.given && image.value != no_container;
}

namespace {

/// What a valid value makes of the member that the row fills.
Switch switched(const OptionRow& row, std::string_view value) {
    return parse_switch(value).value_or(false) != row.target.opposite ? Switch::on : Switch::off;
}

} // namespace

/// Of all options that fill the same member the last one.
Switch Options::switch_of(const OptionRow& row) const {
    const OptionRow* last = nullptr;
    for (const auto& other : option_table) {
        if (other.target.on_off == row.target.on_off && given(other.id) &&
            (last == nullptr || entry(other.id).order > entry(last->id).order)) {
            last = &other;
        }
    }
    return last == nullptr ? Switch::site_default : switched(*last, value(last->id));
}

std::optional<std::pair<OptionId, OptionId>> Options::contradiction() const {
    for (const auto& one : option_table) {
        for (const auto& other : option_table) {
            if (one.id < other.id && one.target.on_off != nullptr &&
                one.target.on_off == other.target.on_off && given(one.id) && given(other.id) &&
                switched(one, value(one.id)) != switched(other, value(other.id))) {
                return std::pair(one.id, other.id);
            }
        }
    }
    return std::nullopt;
}

Result<void> Options::check(std::string_view prefix) const {
    std::array<const OptionRow*, option_count> rows{};
    std::transform(std::begin(option_table), std::end(option_table), rows.begin(),
                   [](const OptionRow& row) { return &row; });
    std::sort(rows.begin(), rows.end(), [&](const OptionRow* one, const OptionRow* other) {
        return entry(one->id).order < entry(other->id).order;
    });
    for (const auto* row : rows) {
        if (given(row->id)) {
            const auto from = source(row->id, prefix);
            TRY(check_length(from, entry(row->id).size));
            TRY(check_value(from, row->kind, value(row->id)));
        }
    }
    return {};
}

Result<Settings> Options::settings(std::string_view prefix) const {
    TRY(check(prefix));
    Settings settings;
    for (const auto& row : option_table) {
        if (!given(row.id)) {
            continue;
        }
        if (row.target.on_off != nullptr) {
            settings.*row.target.on_off = switch_of(row);
        } else if (row.target.names != nullptr) {
            const auto names = base::split(value(row.id), ',');
            (settings.*row.target.names).assign(names.begin(), names.end());
        } else {
            settings.*row.target.text = value(row.id);
        }
    }
    if (!wants_container()) {
        settings.image.clear();
    }
    return settings;
}

std::vector<std::pair<OptionId, std::string>> canonical_options(const Settings& settings) {
    std::vector<std::pair<OptionId, std::string>> list;
    for (const auto& row : option_table) {
        std::string value;
        if (row.target.on_off != nullptr) {
            const auto on = settings.*row.target.on_off;
            if (!row.target.opposite && on != Switch::site_default) {
                value = on == Switch::on ? "on" : "off";
            }
        } else if (row.target.names != nullptr) {
            for (const auto& name : settings.*row.target.names) {
                value += value.empty() ? name : "," + name;
            }
        } else {
            value = settings.*row.target.text;
        }
        if (!value.empty()) {
            list.emplace_back(row.id, std::move(value));
        }
    }
    return list;
}

std::string encode_settings(const Settings& settings) {
    std::string text = settings.image_id.empty() ? "path=" + escape(settings.path)
                                                 : "id=" + escape(settings.image_id);
    if (!settings.image_store.empty()) {
        text += ";store=" + escape(settings.image_store);
    }
    for (const auto& [id, value] : canonical_options(settings)) {
        text += fmt::format(";{}={}", row_of(id).name, escape(value));
    }
    return text;
}

Result<Settings> decode_settings(std::string_view text) {
    // Escaping makes three bytes of one; names and separators are short.
    if (text.size() > (option_count + 2) * (3 * max_option_bytes + 64)) {
        return bad_carrier();
    }
    Options options;
    std::string path;
    std::string image_id;
    std::string image_store;
    for (const auto part : base::split(text, ';')) {
        const auto equals = part.find('=');
        if (equals == std::string_view::npos) {
            return bad_carrier();
        }
        const auto name = part.substr(0, equals);
        auto value = unescape(part.substr(equals + 1));
        if (!value || value->empty()) {
            return bad_carrier();
        }
        if (const auto* row = row_named(name)) {
            if (options.given(row->id)) {
                return bad_carrier();
            }
            options.take(row->id, std::string_view(*value));
        } else if ((name == "path" || name == "id") && path.empty() && image_id.empty()) {
            (name == "path" ? path : image_id) = std::move(*value);
        } else if (name == "store" && image_store.empty() && !image_id.empty()) {
            image_store = std::move(*value);
        } else {
            return bad_carrier();
        }
    }
    TRY_ASSIGN(auto settings, options.settings());
    if (!settings.wants_container()) {
        return bad_carrier();
    }
    if (!image_id.empty()) {
        if (!launcher::join::is_image_id(image_id) ||
            (!image_store.empty() && !check_image_path(image_store))) {
            return bad_carrier();
        }
        settings.image_id = std::move(image_id);
        settings.image_store = std::move(image_store);
        return settings;
    }
    TRY(check_image_path(path));
    settings.path = std::move(path);
    return settings;
}

std::string slurm_option_variable(const std::string& option_name) {
    // As plugstack.c does it: everything but letters and digits becomes '_'.
    std::string name(slurm_option_variable_prefix);
    for (const char c : option_name) {
        name += base::is_alphanumeric(c) ? c : '_';
    }
    return name;
}

std::string inherited_variable(const std::string& option_name) {
    return "SLURM_SPANK_" + slurm_option_variable(option_name);
}

Result<void> check_length(const std::string& source, std::size_t size) {
    if (size <= max_option_bytes) {
        return {};
    }
    return base::fail(Code::option_too_long,
                      fmt::format("the value of {} is {} bytes long, more than {}", source, size,
                                  max_option_bytes),
                      "shorten it; many mounts may be replaced by one of a common directory");
}

Result<void> check_image_path(std::string_view path) {
    const auto source = fmt::format("--{}", row_of(OptionId::image).name);
    TRY(check_text(source, path));
    if (path.empty() || path.front() != '/') {
        return invalid(
            source, path, "not an absolute path",
            "set the image with --container-image on the command line of srun or sbatch");
    }
    return {};
}

} // namespace slipway::spank
