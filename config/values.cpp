// SPDX-License-Identifier: Apache-2.0
#include "config/values.hpp"

#include "base/format.hpp"
#include "base/path.hpp"
#include "base/registry_host.hpp"
#include "base/text.hpp"
#include "base/words.hpp"
#include "config/schema.hpp"
#include "squashfs/compressors.hpp"

#include <sys/un.h>

#include <algorithm>
#include <array>
#include <climits>
#include <iterator>
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

Result<void> check_absolute(std::string_view text) {
    if (!text.starts_with('/')) {
        return fail(Code::config_invalid, in_quotes(text) + " is not an absolute path",
                    "write a path that begins with /");
    }
    if (base::has_dotdot(text)) {
        return fail(Code::config_invalid, in_quotes(text) + " has a .. in it",
                    "write the path without ..");
    }
    if (base::clean_path(text) == "/") {
        return fail(Code::config_invalid, in_quotes(text) + " is the root directory",
                    "write a path below it");
    }
    return {};
}

/// What no container may have in the place of something of the node: the launcher refuses it, too.
bool is_possible_target(std::string_view text) {
    const auto target = base::clean_path(text);
    return text.starts_with('/') && !base::has_dotdot(text) && target != "/" && target != "/dev" &&
           target != "/sys" && !base::is_beneath(target, "/proc");
}

} // namespace

bool is_word(const Node& node, std::string_view word) {
    return node.kind == Node::Kind::scalar && node.text == word;
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

std::string Boolean::type() {
    return "true or false";
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

Result<std::string> Text::read(const Node& node) {
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

Result<unsigned> Percent::read(const Node& node) {
    TRY_ASSIGN(const auto text, number_text(node, type()));
    const auto value = text.ends_with('%') ? base::parse_u64(text.substr(0, text.size() - 1), 100)
                                           : fail(Code::config_invalid, "the % is missing");
    if (!value || *value == 0) {
        return fail(Code::config_invalid, in_quotes(text) + " is no percentage", "write " + type());
    }
    return static_cast<unsigned>(*value);
}

Result<std::uint64_t> BlockSize::read(const Node& node) {
    TRY_ASSIGN(const auto value, read_size(node, 4 * kib, mib));
    if ((value & (value - 1)) != 0) {
        return fail(Code::config_invalid, in_quotes(node.text) + " is not a power of two",
                    "write " + type());
    }
    return value;
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
    constexpr std::uint64_t longest = 36500ULL * 24 * 3600; // beyond it times overflow
    if (*value > longest) {
        return fail(Code::config_invalid, in_quotes(text) + " is out of range",
                    "write a time of at most " + write(longest));
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

std::string Text::write(const std::string& value) {
    return yaml_scalar(value);
}

Result<std::string> AccountName::read(const Node& node) {
    TRY_ASSIGN(auto text, Text::read(node));
    if (text.find(':') != std::string::npos) {
        return fail(Code::config_invalid, in_quotes(text) + " has a colon in it",
                    "registries take names without one: write the password into password_file");
    }
    return text;
}

Result<std::string> AbsolutePath::read(const Node& node) {
    TRY_ASSIGN(auto text, Text::read(node));
    TRY(check_absolute(text));
    return base::clean_path(text);
}

std::string PathPattern::type() {
    return "a path that begins with / or ~; ${USER}, ${UID} and ${HOME} stand for the user's";
}

Result<std::string> PathPattern::read(const Node& node) {
    TRY_ASSIGN(auto text, Text::read(node));
    const User somebody{"user", "/home/user", 1000};
    const auto expanded = expand(text, somebody);
    if (!expanded) {
        return fail(Code::config_invalid, expanded.error().message, expanded.error().hint);
    }
    if (*expanded == "/" || *expanded == somebody.home) {
        return fail(Code::config_invalid, in_quotes(text) + " is in use for other things",
                    "name a directory of its own below it");
    }
    return text;
}

Result<std::vector<std::string>> TextList::read(const Node& node, ReadText reader) {
    if (node.kind != Node::Kind::list) {
        return fail(Code::config_invalid, "is not a list", "write [a, b], also for a single value");
    }
    Value list;
    for (const auto& item : node.items) {
        TRY_ASSIGN(const auto written, Text::read(item));
        TRY_ASSIGN(auto text, reader(written));
        if (std::find(list.begin(), list.end(), text) != list.end()) {
            return fail(Code::config_invalid, "names " + in_quotes(text) + " twice",
                        "remove one of them");
        }
        list.push_back(std::move(text));
    }
    return list;
}

std::string TextList::write(const Value& list) {
    std::string text = "[";
    for (const auto& item : list) {
        text += (text.size() > 1 ? ", " : "") + yaml_scalar(item);
    }
    return text + "]";
}

Result<std::string> read_listener(std::string_view text) {
    constexpr std::string_view scheme = "unix:";
    constexpr std::size_t longest = sizeof(sockaddr_un::sun_path) - 1;
    if (!text.starts_with(scheme)) {
        return fail(Code::config_invalid, in_quotes(text) + " is no address to listen on",
                    "write unix:/absolute/path");
    }
    const auto path = text.substr(scheme.size());
    TRY(check_absolute(path));
    if (path.size() > longest || path.ends_with('/')) {
        return fail(Code::config_invalid, in_quotes(path) + " cannot be the path of a socket",
                    fmt::format("write the path of a file, of at most {} characters", longest));
    }
    return std::string(text);
}

Result<std::string> read_bind(std::string_view text) {
    const auto pieces = base::split(text, ':');
    const bool good = pieces.size() <= 3 && pieces[0].starts_with('/') &&
                      (pieces.size() < 2 || pieces[1].starts_with('/')) &&
                      (pieces.size() < 3 || pieces[2] == "ro" || pieces[2] == "rw");
    if (!good || text.find_first_of(",\\") != std::string_view::npos) {
        return fail(Code::config_invalid, in_quotes(text) + " is no bind",
                    "write SOURCE, SOURCE:TARGET or SOURCE:TARGET:OPTION, with absolute paths and "
                    "ro or rw as option");
    }
    const auto target = pieces[pieces.size() < 2 ? 0 : 1];
    if (!is_possible_target(target)) {
        return fail(Code::config_invalid,
                    in_quotes(target) + " is no place where something can be bound",
                    "write a target without .. that is not /, /dev, /sys or /proc");
    }
    return std::string(text);
}

Result<std::vector<std::string>> Listeners::read(const Node& node) {
    TRY_ASSIGN(auto list, TextList::read(node, read_listener));
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

std::string choice_type(std::span<const std::string_view> names) {
    std::string text;
    for (std::size_t i = 0; i < names.size(); ++i) {
        text += i == 0 ? "" : (i + 1 == names.size() ? " or " : ", ");
        text += names[i];
    }
    return text;
}

Result<std::size_t> read_choice(const Node& node, std::span<const std::string_view> names) {
    TRY_ASSIGN(const auto text, scalar(node, choice_type(names)));
    const auto found = std::find(names.begin(), names.end(), text);
    if (found == names.end()) {
        return fail(Code::config_invalid,
                    "is " + in_quotes(text) + ", which is not one of the choices",
                    "write " + choice_type(names));
    }
    return static_cast<std::size_t>(found - names.begin());
}

Result<std::map<std::string, std::string>> Environment::read(const Node& node) {
    if (node.kind != Node::Kind::map) {
        return fail(Code::config_invalid, "is not a map", "write {NAME: value, OTHER: value}");
    }
    Value map;
    for (const auto& member : node.members) {
        if (!base::is_identifier(member.key)) {
            return fail(Code::config_invalid,
                        in_quotes(member.key) + " is no name of an environment variable",
                        "use letters, digits and _ and begin with a letter or _");
        }
        auto text = Text::read(member.value);
        if (!text) {
            return tl::unexpected<base::Error>(std::move(text).error().context(member.key));
        }
        map.emplace(member.key, std::move(*text));
    }
    return map;
}

std::string Environment::write(const Value& value) {
    std::string text = "{";
    for (const auto& [name, content] : value) {
        text += (text.size() > 1 ? ", " : "") + name + ": " + yaml_scalar(content);
    }
    return text + "}";
}

namespace {

std::vector<squashfs::CompressorRow> written_compressors() {
    std::vector<squashfs::CompressorRow> written;
    std::copy_if(std::begin(squashfs::compressors), std::end(squashfs::compressors),
                 std::back_inserter(written), [](const auto& row) { return row.written(); });
    return written;
}

std::vector<std::string_view> written_names() {
    std::vector<std::string_view> names;
    for (const auto& row : written_compressors()) {
        names.push_back(row.name);
    }
    return names;
}

} // namespace

std::string CompressorName::type() {
    return choice_type(written_names());
}

Result<squashfs::Compressor> CompressorName::read(const Node& node) {
    TRY_ASSIGN(const auto index, read_choice(node, written_names()));
    return written_compressors()[index].id;
}

std::string CompressorName::write(squashfs::Compressor value) {
    return std::string(squashfs::facts_of(value).name);
}

std::string CompressionLevel::type() {
    std::string levels;
    std::string defaults;
    for (const auto& row : written_compressors()) {
        levels += fmt::format("{}{} to {} for {}", levels.empty() ? "" : ", ", row.lowest_level,
                              row.highest_level, row.name);
        defaults +=
            fmt::format("{}{} for {}", defaults.empty() ? "" : ", ", row.default_level, row.name);
    }
    return fmt::format("a number ({}), or auto ({})", levels, defaults);
}
Result<unsigned> CompressionLevel::read(const Node& node) {
    if (is_word(node, "auto")) {
        return 0U;
    }
    int lowest = INT_MAX;
    int highest = 0;
    for (const auto& row : written_compressors()) {
        lowest = std::min(lowest, row.lowest_level);
        highest = std::max(highest, row.highest_level);
    }
    TRY_ASSIGN(const auto value, read_number(node, static_cast<std::uint64_t>(lowest),
                                             static_cast<std::uint64_t>(highest)));
    return static_cast<unsigned>(value);
}

} // namespace slipway::config
