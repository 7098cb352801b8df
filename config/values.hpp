// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/enum_table.hpp"
#include "config/config.hpp"
#include "config/schema.hpp"
#include "squashfs/compressors.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// Kinds of values in the site file. Each kind is a struct with: Value, the C++ type; type(), a
/// phrase for people; read(), the strict parser (errors name neither file nor key: the caller adds
/// them); write(), the YAML text.
namespace slipway::config {

/// Leaves room to add sizes up without overflow.
inline constexpr std::uint64_t max_size = UINT64_MAX / 4;

base::Result<std::uint64_t> read_number(const Node& node, std::uint64_t min, std::uint64_t max);
base::Result<std::uint64_t> read_size(const Node& node, std::uint64_t min, std::uint64_t max);
/// The place of the word in `names`.
base::Result<std::size_t> read_choice(const Node& node, std::span<const std::string_view> names);
std::string number_type(std::uint64_t min, std::uint64_t max);
std::string size_type(std::uint64_t min); ///< 0: says nothing about it
std::string choice_type(std::span<const std::string_view> names);
std::string write_size(std::uint64_t bytes);
bool is_word(const Node& node, std::string_view word);

template <typename T>
struct Kind {
    using Value = T;
};

/// A literal as a parameter of a template.
template <std::size_t n>
struct Word {
    constexpr Word(const char (&from)[n]) { std::copy_n(from, n, text); } // NOLINT: implicit
    char text[n]{};
};

struct Boolean : Kind<bool> {
    static std::string type() { return "true or false"; }
    static base::Result<bool> read(const Node& node);
    static std::string write(bool value) { return value ? "true" : "false"; }
};

template <typename T, std::uint64_t min, std::uint64_t max>
struct Number : Kind<T> {
    static std::string type() { return number_type(min, max); }
    static base::Result<T> read(const Node& node) {
        TRY_ASSIGN(const auto value, read_number(node, min, max));
        return static_cast<T>(value);
    }
    static std::string write(T value) { return std::to_string(value); }
};

template <std::uint64_t min, bool says_min = true>
struct Size : Kind<std::uint64_t> {
    static std::string type() { return size_type(says_min ? min : 0); }
    static base::Result<Value> read(const Node& node) { return read_size(node, min, max_size); }
    static std::string write(Value value) { return write_size(value); }
};

/// Another kind, or a word, which is kept as 0.
template <typename Other, Word word>
struct Or : Kind<typename Other::Value> {
    using Value = typename Other::Value;
    static std::string type() { return Other::type() + ", or " + word.text; }
    static base::Result<Value> read(const Node& node) {
        return is_word(node, word.text) ? base::Result<Value>(Value{0}) : Other::read(node);
    }
    static std::string write(Value value) { return value == 0 ? word.text : Other::write(value); }
};

template <std::uint64_t max>
using NumberOrAuto = Or<Number<unsigned, 1, max>, "auto">;
template <std::uint64_t min>
using SizeOrNone = Or<Size<min, false>, "none">;
template <std::uint64_t min>
using SizeOrAuto = Or<Size<min, false>, "auto">;

struct Percent : Kind<unsigned> {
    static std::string type() { return "a percentage from 1% to 100%"; }
    static base::Result<unsigned> read(const Node& node);
    static std::string write(unsigned value) { return std::to_string(value) + "%"; }
};

struct BlockSize : Kind<std::uint64_t> {
    static std::string type() { return "a power of two from 4KiB to 1MiB"; }
    static base::Result<Value> read(const Node& node);
    static std::string write(Value value) { return write_size(value); }
};

struct Duration : Kind<std::uint64_t> {
    static std::string type() { return "a time such as 90s, 5m, 2h or 7d"; }
    static base::Result<Value> read(const Node& node);
    static std::string write(Value value);
};

/// The one spelling of a text, or why it is not allowed.
using ReadText = base::Result<std::string> (*)(std::string_view);
base::Result<std::string> read_any(std::string_view text);
base::Result<std::string> read_account(std::string_view text); ///< at a registry
base::Result<std::string> read_path(std::string_view text);    ///< absolute, not the root
base::Result<std::string> read_pattern(std::string_view text); ///< for expand()
base::Result<std::string> read_listener(std::string_view text);
base::Result<std::string> read_bind(std::string_view text);
/// base::canonical_registry_host() of "host" or "host:port", without scheme and path.
base::Result<std::string> registry_host(std::string_view text);

base::Result<std::string> read_text(const Node& node, ReadText reader);
base::Result<std::vector<std::string>> read_texts(const Node& node, ReadText reader);
std::string write_texts(const std::vector<std::string>& texts);

template <Word phrase, ReadText reader>
struct TextOf : Kind<std::string> {
    static std::string type() { return phrase.text; }
    static base::Result<Value> read(const Node& node) { return read_text(node, reader); }
    static std::string write(const Value& value) { return yaml_scalar(value); }
};
using Text = TextOf<"a text", read_any>;
using AccountName = TextOf<"a text", read_account>;
using AbsolutePath = TextOf<"an absolute path", read_path>;
using PathPattern =
    TextOf<"a path that begins with / or ~; ${USER}, ${UID} and ${HOME} stand for the user's",
           read_pattern>;

template <Word phrase, ReadText reader>
struct ListOf : Kind<std::vector<std::string>> {
    static std::string type() { return phrase.text; }
    static base::Result<Value> read(const Node& node) { return read_texts(node, reader); }
    static std::string write(const Value& list) { return write_texts(list); }
};
using Hosts = ListOf<"a list of host or host:port", registry_host>;
using Binds = ListOf<"a list of SOURCE[:TARGET[:ro|rw]]", read_bind>;

/// Exactly one.
struct Listeners : ListOf<"a list with one unix:/absolute/path", read_listener> {
    static base::Result<Value> read(const Node& node);
};

struct Environment : Kind<std::map<std::string, std::string>> {
    static std::string type() { return "a map of NAME: value"; }
    static base::Result<Value> read(const Node& node);
    static std::string write(const Value& value);
};

/// One of the names of a base::EnumTable.
template <typename Enum, const auto& table>
struct Choice : Kind<Enum> {
    static std::string type() { return choice_type(table.names()); }
    static base::Result<Enum> read(const Node& node) {
        TRY_ASSIGN(const auto index, read_choice(node, table.names()));
        return static_cast<Enum>(index);
    }
    static std::string write(Enum value) { return std::string(table.name(value)); }
};

inline constexpr base::EnumTable device_modes = std::array{
    base::EnumRow{DeviceMode::full, "full"}, base::EnumRow{DeviceMode::minimal, "minimal"}};
using DeviceModeName = Choice<DeviceMode, device_modes>;

/// A compressor that we write.
struct CompressorName : Kind<squashfs::Compressor> {
    static std::string type();
    static base::Result<Value> read(const Node& node);
    static std::string write(Value value) { return std::string(squashfs::facts_of(value).name); }
};

/// A level that some compressor has, or auto. Whether it fits the chosen one is seen when the whole
/// section has been read.
struct CompressionLevel : NumberOrAuto<squashfs::highest_level()> {
    static std::string type();
};

} // namespace slipway::config
