// SPDX-License-Identifier: Apache-2.0
#include "config/values.hpp"

#include "base/format.hpp"
#include "base/path.hpp"
#include "base/registry_host.hpp"
#include "base/text.hpp"
#include "config/schema.hpp"
#include "squashfs/compressors.hpp"

#include <algorithm>
#include <array>
#include <climits>
#include <span>

namespace slipway::config {
namespace {

using base::Code;
using base::fail;
using base::in_quotes;
using base::Result;

Result<std::string_view> scalar(const Node& node, std::string_view expected) {
    switch (node.kind) {
    case Node::Kind::scalar:
        return std::string_view(node.text);
    case Node::Kind::null:
        return fail(Code::config_invalid, "has no value", fmt::format("write {}", expected));
    case Node::Kind::list:
        return fail(Code::config_invalid, "is a list", fmt::format("write {}", expected));
    case Node::Kind::map:
        break;
    }
    return fail(Code::config_invalid, "is a section of its own", fmt::format("write {}", expected));
}

/// 0755, 010, -01 and 0x1F: readers of YAML 1.1, 1.2 and people take them for different numbers.
bool looks_octal(std::string_view text) {
    if (!text.empty() && (text.front() == '-' || text.front() == '+')) {
        text.remove_prefix(1);
    }
    if (text.size() < 2 || text.front() != '0') {
        return false;
    }
    const auto rest = text.substr(1);
    const bool digits = rest.find_first_not_of("0123456789_") == std::string_view::npos;
    const bool based =
        (rest.front() == 'x' || rest.front() == 'o' || rest.front() == 'b') && rest.size() > 1 &&
        rest.substr(1).find_first_not_of("0123456789abcdefABCDEF_") == std::string_view::npos;
    return digits || based;
}

Result<std::string_view> number_text(const Node& node, std::string_view expected) {
    TRY_ASSIGN(const auto text, scalar(node, expected));
    const auto digits = text.substr(0, std::min(text.find_first_not_of("0123456789"), text.size()));
    if (looks_octal(text) || (digits.size() > 1 && digits.front() == '0')) {
        return fail(Code::config_invalid,
                    in_quotes(text) + " begins with 0, which some readers take for an octal number",
                    fmt::format("write {} without leading zeros", expected));
    }
    return text;
}

template <typename Enum>
struct Named {
    std::string_view name;
    Enum value;
};
constexpr std::array device_modes{Named<DeviceMode>{"full", DeviceMode::full},
                                  Named<DeviceMode>{"minimal", DeviceMode::minimal}};

template <typename Enum, std::size_t n>
Result<Enum> read_choice(const Node& node, const std::array<Named<Enum>, n>& choices,
                         const std::string& expected) {
    TRY_ASSIGN(const auto text, scalar(node, expected));
    for (const auto& choice : choices) {
        if (choice.name == text) {
            return choice.value;
        }
    }
    return fail(Code::config_invalid, "is " + in_quotes(text) + ", which is not one of the choices",
                "write " + expected);
}

template <typename Enum, std::size_t n>
std::string write_choice(Enum value, const std::array<Named<Enum>, n>& choices) {
    for (const auto& choice : choices) {
        if (choice.value == value) {
            return std::string(choice.name);
        }
    }
    return {};
}

template <typename Enum, std::size_t n>
std::string choice_type(const std::array<Named<Enum>, n>& choices) {
    std::string text;
    for (std::size_t i = 0; i < n; ++i) {
        text += i == 0 ? "" : (i + 1 == n ? " or " : ", ");
        text += choices[i].name;
    }
    return text;
}

Result<void> check_absolute(std::string_view text) {
    if (!text.starts_with('/')) {
        return fail(Code::config_invalid, in_quotes(text) + " is not an absolute path",
                    "write a path that begins with /");
    }
    if (base::has_dotdot(text)) {
        return fail(Code::config_invalid, in_quotes(text) + " has a .. in it",
                    "write the path without ..");
    }
    return {};
}

Result<void> check_listener(std::string_view text) {
    if (text.starts_with("unix:")) {
        return check_absolute(text.substr(5));
    }
    return fail(Code::config_invalid, in_quotes(text) + " is no address to listen on",
                "write unix:/absolute/path");
}

Result<void> check_bind(std::string_view text) {
    const auto pieces = base::split(text, ':');
    const std::string_view hint = "write SOURCE, SOURCE:TARGET or SOURCE:TARGET:OPTION, with "
                                  "absolute paths and ro or rw as option";
    bool good = pieces.size() <= 3 && pieces[0].starts_with('/') &&
                (pieces.size() < 2 || pieces[1].starts_with('/'));
    if (good && pieces.size() == 3) {
        good = pieces[2] == "ro" || pieces[2] == "rw";
    }
    if (!good || text.find(',') != std::string_view::npos) {
        return fail(Code::config_invalid, in_quotes(text) + " is no bind", std::string(hint));
    }
    return {};
}

bool is_identifier(std::string_view name) {
    const auto letter = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    };
    return !name.empty() && letter(name.front()) &&
           std::all_of(name.begin(), name.end(),
                       [&](char c) { return letter(c) || (c >= '0' && c <= '9'); });
}

} // namespace

std::string Boolean::type() {
    return "true or false";
}

Result<bool> Boolean::read(const Node& node) {
    TRY_ASSIGN(const auto text, scalar(node, type()));
    if (text == "true" || text == "yes" || text == "on") {
        return true;
    }
    if (text == "false" || text == "no" || text == "off") {
        return false;
    }
    return fail(Code::config_invalid, "is " + in_quotes(text) + ", not true or false",
                "write true or false");
}

std::string Boolean::write(bool value) {
    return value ? "true" : "false";
}

std::string number_type(std::uint64_t min, std::uint64_t max) {
    return fmt::format("a whole number from {} to {}", min, max);
}

Result<std::uint64_t> read_number(const Node& node, std::uint64_t min, std::uint64_t max) {
    const auto expected = number_type(min, max);
    TRY_ASSIGN(const auto text, number_text(node, expected));
    const auto value = base::parse_u64(text);
    if (!value) {
        return fail(Code::config_invalid, value.error().message, "write " + expected);
    }
    if (*value < min || *value > max) {
        return fail(Code::config_invalid, fmt::format("{} is out of range", *value),
                    "write " + expected);
    }
    return *value;
}

Result<std::uint64_t> read_size(const Node& node, std::uint64_t min, std::uint64_t max) {
    const std::string expected = "a size such as 512MiB or 20TiB";
    TRY_ASSIGN(const auto text, number_text(node, expected));
    const auto value = base::parse_size(text);
    if (!value) {
        return fail(Code::config_invalid, value.error().message, "write " + expected);
    }
    if (*value < min || *value > max) {
        return fail(Code::config_invalid, in_quotes(text) + " is out of range",
                    max == max_size ? fmt::format("write a size of at least {}", write_size(min))
                                    : fmt::format("write a size from {} to {}", write_size(min),
                                                  write_size(max)));
    }
    return *value;
}

std::string write_size(std::uint64_t bytes) {
    constexpr std::array<std::string_view, 5> units{"", "KiB", "MiB", "GiB", "TiB"};
    std::size_t unit = 0;
    while (bytes != 0 && bytes % kib == 0 && unit + 1 < units.size()) {
        bytes /= kib;
        ++unit;
    }
    return fmt::format("{}{}", bytes, units[unit]);
}

bool is_auto(const Node& node) {
    return node.kind == Node::Kind::scalar && node.text == "auto";
}

Result<std::string> read_text(const Node& node) {
    TRY_ASSIGN(const auto text, scalar(node, "a text"));
    if (!node.quoted && looks_octal(text)) {
        return fail(Code::config_invalid,
                    in_quotes(text) + " could be taken for an octal or hexadecimal number",
                    fmt::format("write it in quotes: \"{}\"", text));
    }
    if (text.find('\0') != std::string_view::npos) {
        return fail(Code::config_invalid, "contains a NUL byte", "remove it");
    }
    return std::string(text);
}

std::string Percent::type() {
    return "a percentage from 1% to 100%";
}

Result<unsigned> Percent::read(const Node& node) {
    TRY_ASSIGN(const auto text, number_text(node, type()));
    const auto value = text.ends_with('%') ? base::parse_u64(text.substr(0, text.size() - 1), 100)
                                           : fail(Code::config_invalid, "the % is missing");
    if (!value || *value == 0) {
        return fail(Code::config_invalid, in_quotes(text) + " is no percentage",
                    "write " + type());
    }
    return static_cast<unsigned>(*value);
}

std::string BlockSize::type() {
    return "a power of two from 4KiB to 1MiB";
}

Result<std::uint64_t> BlockSize::read(const Node& node) {
    TRY_ASSIGN(const auto value, read_size(node, 4 * kib, mib));
    if ((value & (value - 1)) != 0) {
        return fail(Code::config_invalid, in_quotes(node.text) + " is not a power of two",
                    "write " + type());
    }
    return value;
}

std::string Duration::type() {
    return "a time such as 90s, 5m, 2h or 7d";
}

Result<std::uint64_t> Duration::read(const Node& node) {
    TRY_ASSIGN(const auto text, number_text(node, type()));
    const auto value = base::parse_duration(text);
    if (!value) {
        return fail(Code::config_invalid, value.error().message, "write " + type());
    }
    if (*value == 0) {
        return fail(Code::config_invalid, "must be longer than nothing", "write " + type());
    }
    return *value;
}

std::string Duration::write(std::uint64_t value) {
    struct Unit {
        std::uint64_t seconds;
        char name;
    };
    for (const auto& unit : {Unit{86400, 'd'}, Unit{3600, 'h'}, Unit{60, 'm'}}) {
        if (value % unit.seconds == 0) {
            return fmt::format("{}{}", value / unit.seconds, unit.name);
        }
    }
    return fmt::format("{}s", value);
}

std::string Text::type() {
    return "a text";
}

Result<std::string> Text::read(const Node& node) {
    return read_text(node);
}

std::string Text::write(const std::string& value) {
    return yaml_scalar(value);
}

std::string AbsolutePath::type() {
    return "an absolute path";
}

Result<std::string> AbsolutePath::read(const Node& node) {
    TRY_ASSIGN(auto text, read_text(node));
    TRY(check_absolute(text));
    return base::clean_path(text);
}

std::string AbsolutePath::write(const std::string& value) {
    return yaml_scalar(value);
}

std::string PathPattern::type() {
    return "a path that begins with / or ~; ${USER}, ${UID} and ${HOME} stand for the user's";
}

Result<std::string> PathPattern::read(const Node& node) {
    TRY_ASSIGN(auto text, read_text(node));
    const auto expanded = expand(text, User{"user", "/home/user", 1000});
    if (!expanded) {
        return fail(Code::config_invalid, expanded.error().message, expanded.error().hint);
    }
    return text;
}

std::string PathPattern::write(const std::string& value) {
    return yaml_scalar(value);
}

Result<TextList> read_list(const Node& node, Result<void> (*check)(std::string_view)) {
    if (node.kind != Node::Kind::list) {
        return fail(Code::config_invalid, "is not a list", "write [a, b], also for a single value");
    }
    TextList list;
    for (const auto& item : node.items) {
        TRY_ASSIGN(auto text, read_text(item));
        TRY(check(text));
        if (std::find(list.begin(), list.end(), text) != list.end()) {
            return fail(Code::config_invalid, "names " + in_quotes(text) + " twice",
                        "remove one of them");
        }
        list.push_back(std::move(text));
    }
    return list;
}

std::string write_list(const TextList& list) {
    std::string text = "[";
    for (const auto& item : list) {
        text += (text.size() > 1 ? ", " : "") + yaml_scalar(item);
    }
    return text + "]";
}

std::string Listeners::type() {
    return "a list with one unix:/absolute/path";
}

Result<TextList> Listeners::read(const Node& node) {
    TRY_ASSIGN(auto list, read_list(node, check_listener));
    if (list.size() != 1) {
        return fail(Code::config_invalid, list.empty() ? "is empty" : "names more than one address",
                    "this version listens on one Unix socket");
    }
    return list;
}

Result<std::string> registry_host(std::string_view text) {
    auto host = base::canonical_registry_host(text);
    if (!host) {
        return fail(Code::config_invalid, in_quotes(text) + " is no registry",
                    "write host or host:port, without https:// and without a path");
    }
    return std::move(*host);
}

std::string Hosts::type() {
    return "a list of host or host:port";
}

Result<TextList> Hosts::read(const Node& node) {
    const auto check = [](std::string_view text) -> Result<void> {
        TRY(registry_host(text));
        return {};
    };
    TRY_ASSIGN(const auto written, read_list(node, check));
    TextList list;
    for (const auto& text : written) {
        TRY_ASSIGN(auto host, registry_host(text));
        if (std::find(list.begin(), list.end(), host) != list.end()) {
            return fail(Code::config_invalid, "names " + in_quotes(host) + " twice",
                        "remove one of them");
        }
        list.push_back(std::move(host));
    }
    return list;
}

std::string Binds::type() {
    return "a list of SOURCE[:TARGET[:ro|rw]]";
}

Result<TextList> Binds::read(const Node& node) {
    return read_list(node, check_bind);
}

std::string Environment::type() {
    return "a map of NAME: value";
}

Result<TextMap> Environment::read(const Node& node) {
    if (node.kind != Node::Kind::map) {
        return fail(Code::config_invalid, "is not a map", "write {NAME: value, OTHER: value}");
    }
    TextMap map;
    for (const auto& member : node.members) {
        if (!is_identifier(member.key)) {
            return fail(Code::config_invalid,
                        in_quotes(member.key) + " is no name of an environment variable",
                        "use letters, digits and _ and begin with a letter or _");
        }
        auto text = read_text(member.value);
        if (!text) {
            return tl::unexpected<base::Error>(std::move(text).error().context(member.key));
        }
        map.emplace(member.key, std::move(*text));
    }
    return map;
}

std::string Environment::write(const TextMap& value) {
    std::string text = "{";
    for (const auto& [name, content] : value) {
        text += (text.size() > 1 ? ", " : "") + name + ": " + yaml_scalar(content);
    }
    return text + "}";
}

std::string CompressorName::type() {
    std::string text;
    for (const auto& row : squashfs::compressors) {
        if (row.written()) {
            text += (text.empty() ? "" : " or ") + std::string(row.name);
        }
    }
    return text;
}
Result<squashfs::Compressor> CompressorName::read(const Node& node) {
    TRY_ASSIGN(const auto text, scalar(node, type()));
    const auto* row = squashfs::find_compressor(text);
    if (row == nullptr || !row->written()) {
        return fail(Code::config_invalid,
                    "is " + in_quotes(text) + ", which is not one of the choices",
                    "write " + type());
    }
    return row->id;
}
std::string CompressorName::write(squashfs::Compressor value) {
    return std::string(squashfs::facts_of(value).name);
}

std::string CompressionLevel::type() {
    std::string levels;
    std::string defaults;
    for (const auto& row : squashfs::compressors) {
        if (row.written()) {
            levels += fmt::format("{}{} to {} for {}", levels.empty() ? "" : ", ", row.lowest_level,
                                  row.highest_level, row.name);
            defaults += fmt::format("{}{} for {}", defaults.empty() ? "" : ", ", row.default_level,
                                    row.name);
        }
    }
    return fmt::format("a number ({}), or auto ({})", levels, defaults);
}
Result<unsigned> CompressionLevel::read(const Node& node) {
    if (is_auto(node)) {
        return 0U;
    }
    int lowest = INT_MAX;
    int highest = 0;
    for (const auto& row : squashfs::compressors) {
        if (row.written()) {
            lowest = std::min(lowest, row.lowest_level);
            highest = std::max(highest, row.highest_level);
        }
    }
    TRY_ASSIGN(const auto value, read_number(node, static_cast<std::uint64_t>(lowest),
                                             static_cast<std::uint64_t>(highest)));
    return static_cast<unsigned>(value);
}

std::string DeviceModeName::type() {
    return choice_type(device_modes);
}
Result<DeviceMode> DeviceModeName::read(const Node& node) {
    return read_choice(node, device_modes, type());
}
std::string DeviceModeName::write(DeviceMode value) {
    return write_choice(value, device_modes);
}

} // namespace slipway::config
