// SPDX-License-Identifier: Apache-2.0
#include "config/values.hpp"

#include "base/format.hpp"
#include "base/path.hpp"
#include "base/registry_host.hpp"
#include "base/text.hpp"
#include "base/words.hpp"

#include <sys/un.h>

#include <algorithm>
#include <array>
#include <iterator>

namespace slipway::config {
namespace {

using base::in_quotes;
using base::Result;

Result<std::string_view> scalar(const Node& node, std::string_view expected) {
    if (node.kind != Node::Kind::scalar) {
        return wrong(node.kind == Node::Kind::null   ? "has no value"
                     : node.kind == Node::Kind::list ? "is a list"
                                                     : "is a section of its own",
                     fmt::format("write {}", expected));
    }
    return std::string_view(node.text);
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

/// A number in the notation that `parse` reads.
template <typename Parse>
Result<std::uint64_t> read_quantity(const Node& node, std::string_view expected, Parse parse) {
    TRY_ASSIGN(const auto text, scalar(node, expected));
    const auto digits = text.substr(0, text.find_first_not_of("0123456789"));
    if (looks_octal(text) || (digits.size() > 1 && digits.front() == '0')) {
        return wrong(in_quotes(text) +
                         " begins with 0, which some readers take for an octal number",
                     fmt::format("write {} without leading zeros", expected));
    }
    const Result<std::uint64_t> value = parse(text);
    if (!value) {
        return wrong(value.error().message, fmt::format("write {}", expected));
    }
    return value;
}

/// A number in the largest unit that leaves nothing over.
struct Unit {
    std::string_view name;
    std::uint64_t factor;
};
std::string in_units(std::uint64_t value, std::span<const Unit> from_the_largest) {
    for (const auto& unit : from_the_largest) {
        if (value >= unit.factor && value % unit.factor == 0) {
            return fmt::format("{}{}", value / unit.factor, unit.name);
        }
    }
    return fmt::format("{}{}", value, from_the_largest.back().name);
}

constexpr std::string_view example_sizes = "a size such as 512MiB or 20TiB";

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
    const bool yes = text == "true" || text == "yes" || text == "on";
    if (!yes && text != "false" && text != "no" && text != "off") {
        return wrong("is " + in_quotes(text) + ", not true or false", "write true or false");
    }
    return yes;
}

std::string number_type(std::uint64_t min, std::uint64_t max) {
    return fmt::format("a whole number from {} to {}", min, max);
}

Result<std::uint64_t> read_number(const Node& node, std::uint64_t min, std::uint64_t max) {
    const auto expected = number_type(min, max);
    const auto parse = [](std::string_view text) { return base::parse_u64(text); };
    TRY_ASSIGN(const auto value, read_quantity(node, expected, parse));
    if (value < min || value > max) {
        return wrong(fmt::format("{} is out of range", value), "write " + expected);
    }
    return value;
}

std::string size_type(std::uint64_t min) {
    return std::string(example_sizes) + (min == 0 ? "" : ", at least " + write_size(min));
}

Result<std::uint64_t> read_size(const Node& node, std::uint64_t min, std::uint64_t max) {
    TRY_ASSIGN(const auto value, read_quantity(node, example_sizes, base::parse_size));
    if (value < min || value > max) {
        return wrong(in_quotes(node.text) + " is out of range",
                     max == max_size ? fmt::format("write a size of at least {}", write_size(min))
                                     : fmt::format("write a size from {} to {}", write_size(min),
                                                   write_size(max)));
    }
    return value;
}

std::string write_size(std::uint64_t bytes) {
    constexpr std::array<Unit, 5> units{
        {{"TiB", 1024 * gib}, {"GiB", gib}, {"MiB", mib}, {"KiB", kib}, {"", 1}}};
    return in_units(bytes, units);
}

Result<unsigned> Percent::read(const Node& node) {
    const auto parse = [](std::string_view text) -> Result<std::uint64_t> {
        const auto value = base::parse_u64(text.substr(0, text.size() - 1), 100);
        if (!text.ends_with('%') || value.value_or(0) == 0) {
            return wrong(in_quotes(text) + " is no percentage", {});
        }
        return value;
    };
    TRY_ASSIGN(const auto value, read_quantity(node, type(), parse));
    return static_cast<unsigned>(value);
}

Result<std::uint64_t> BlockSize::read(const Node& node) {
    TRY_ASSIGN(const auto value, read_size(node, 4 * kib, mib));
    if ((value & (value - 1)) != 0) {
        return wrong(in_quotes(node.text) + " is not a power of two", "write " + type());
    }
    return value;
}

Result<std::uint64_t> Duration::read(const Node& node) {
    constexpr std::uint64_t longest = 36500ULL * 24 * 3600; // beyond it times overflow
    TRY_ASSIGN(const auto value, read_quantity(node, type(), base::parse_duration));
    if (value == 0) {
        return wrong("must be longer than nothing", "write " + type());
    }
    if (value > longest) {
        return wrong(in_quotes(node.text) + " is out of range",
                     "write a time of at most " + write(longest));
    }
    return value;
}

std::string Duration::write(std::uint64_t value) {
    constexpr std::array<Unit, 4> units{{{"d", 86400}, {"h", 3600}, {"m", 60}, {"s", 1}}};
    return in_units(value, units);
}

Result<std::string> read_text(const Node& node, ReadText reader) {
    TRY_ASSIGN(const auto text, scalar(node, "a text"));
    if (!node.quoted && looks_octal(text)) {
        return wrong(in_quotes(text) + " could be taken for an octal or hexadecimal number",
                     fmt::format("write it in quotes: \"{}\"", text));
    }
    if (text.find('\0') != std::string_view::npos) {
        return wrong("contains a NUL byte", "remove it");
    }
    return reader(text);
}

Result<std::string> read_any(std::string_view text) {
    return std::string(text);
}

Result<std::string> read_account(std::string_view text) {
    if (text.find(':') != std::string_view::npos) {
        return wrong(in_quotes(text) + " has a colon in it",
                     "registries take names without one: write the password into password_file");
    }
    return std::string(text);
}

Result<std::string> read_path(std::string_view text) {
    if (!text.starts_with('/')) {
        return wrong(in_quotes(text) + " is not an absolute path",
                     "write a path that begins with /");
    }
    if (base::has_dotdot(text)) {
        return wrong(in_quotes(text) + " has a .. in it", "write the path without ..");
    }
    auto path = base::clean_path(text);
    if (path == "/") {
        return wrong(in_quotes(text) + " is the root directory", "write a path below it");
    }
    return path;
}

Result<std::string> read_pattern(std::string_view text) {
    const User somebody{"user", "/home/user", 1000};
    TRY_ASSIGN(const auto path, expand(text, somebody));
    if (path == "/" || path == somebody.home) {
        return wrong(in_quotes(text) + " is in use for other things",
                     "name a directory of its own below it");
    }
    return std::string(text);
}

Result<std::string> read_listener(std::string_view text) {
    constexpr std::string_view scheme = "unix:";
    constexpr std::size_t longest = sizeof(sockaddr_un::sun_path) - 1;
    if (!text.starts_with(scheme)) {
        return wrong(in_quotes(text) + " is no address to listen on", "write unix:/absolute/path");
    }
    const auto path = text.substr(scheme.size());
    TRY(read_path(path));
    if (path.size() > longest || path.ends_with('/')) {
        return wrong(in_quotes(path) + " cannot be the path of a socket",
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
        return wrong(in_quotes(text) + " is no bind",
                     "write SOURCE, SOURCE:TARGET or SOURCE:TARGET:OPTION, with absolute paths and "
                     "ro or rw as option");
    }
    const auto target = pieces[pieces.size() < 2 ? 0 : 1];
    if (!is_possible_target(target)) {
        return wrong(in_quotes(target) + " is no place where something can be bound",
                     "write a target without .. that is not /, /dev, /sys or /proc");
    }
    return std::string(text);
}

Result<std::string> registry_host(std::string_view text) {
    auto host = base::canonical_registry_host(text);
    if (!host) {
        return wrong(in_quotes(text) + " is no registry",
                     "write host or host:port, without https:// and without a path");
    }
    return std::move(*host);
}

Result<std::vector<std::string>> read_texts(const Node& node, ReadText reader) {
    if (node.kind != Node::Kind::list) {
        return wrong("is not a list", "write [a, b], also for a single value");
    }
    std::vector<std::string> list;
    for (const auto& item : node.items) {
        TRY_ASSIGN(auto text, read_text(item, reader));
        if (std::find(list.begin(), list.end(), text) != list.end()) {
            return wrong("names " + in_quotes(text) + " twice", "remove one of them");
        }
        list.push_back(std::move(text));
    }
    return list;
}

std::string write_texts(const std::vector<std::string>& texts) {
    return '[' + base::joined(texts, ", ", yaml_scalar) + ']';
}

Result<std::vector<std::string>> Listeners::read(const Node& node) {
    TRY_ASSIGN(auto list, ListOf::read(node));
    if (list.size() != 1) {
        return wrong(list.empty() ? "is empty" : "names more than one address",
                     "this version listens on one Unix socket");
    }
    return list;
}

Result<std::map<std::string, std::string>> Environment::read(const Node& node) {
    if (node.kind != Node::Kind::map) {
        return wrong("is not a map", "write {NAME: value, OTHER: value}");
    }
    Value map;
    for (const auto& item : node.items) {
        if (!base::is_identifier(item.key)) {
            return wrong(in_quotes(item.key) + " is no name of an environment variable",
                         "use letters, digits and _ and begin with a letter or _");
        }
        auto text = Text::read(item);
        if (!text) {
            return base::Unexpected(std::move(text).error().context(item.key));
        }
        map.emplace(item.key, std::move(*text));
    }
    return map;
}

std::string Environment::write(const Value& value) {
    const auto show = [](const auto& entry) {
        return entry.first + ": " + yaml_scalar(entry.second);
    };
    return '{' + base::joined(value, ", ", show) + '}';
}

std::string choice_type(std::span<const std::string_view> names) {
    const auto others = names.first(names.size() - 1);
    return fmt::format("{}{}{}", base::joined(others, ", "), others.empty() ? "" : " or ",
                       names.back());
}

Result<std::size_t> read_choice(const Node& node, std::span<const std::string_view> names) {
    TRY_ASSIGN(const auto text, scalar(node, choice_type(names)));
    const auto found = std::find(names.begin(), names.end(), text);
    if (found == names.end()) {
        return wrong("is " + in_quotes(text) + ", which is not one of the choices",
                     "write " + choice_type(names));
    }
    return static_cast<std::size_t>(found - names.begin());
}

namespace {

std::vector<std::string_view> written_names() {
    std::vector<std::string_view> names;
    for (const auto& row : squashfs::written_compressors()) {
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
    return squashfs::written_compressors()[index].id;
}

std::string CompressionLevel::type() {
    const auto written = squashfs::written_compressors();
    const auto levels = base::joined(written, ", ", [](const auto& row) {
        return fmt::format("{} to {} for {}", row.lowest_level, row.highest_level, row.name);
    });
    const auto defaults = base::joined(written, ", ", [](const auto& row) {
        return fmt::format("{} for {}", row.default_level, row.name);
    });
    return fmt::format("a number ({}), or auto ({})", levels, defaults);
}

} // namespace slipway::config
