// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/enum_table.hpp"
#include "config/config.hpp"
#include "config/document.hpp"

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
std::string choice_type(std::span<const std::string_view> names);
std::string write_size(std::uint64_t bytes);
bool is_word(const Node& node, std::string_view word);

template <typename T>
struct Kind {
    using Value = T;
};

struct Boolean : Kind<bool> {
    static std::string type();
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
    static std::string type() {
        return "a size such as 512MiB or 20TiB" +
               (says_min ? ", at least " + write_size(min) : std::string());
    }
    static base::Result<std::uint64_t> read(const Node& node) {
        return read_size(node, min, max_size);
    }
    static std::string write(std::uint64_t value) { return write_size(value); }
};

template <std::size_t n>
struct Word {
    constexpr Word(const char (&from)[n]) {
        std::copy_n(from, n, text);
    } // NOLINT: implicit on purpose
    char text[n]{};
};

/// Another kind, or a word, which is kept as 0.
template <typename Other, Word word>
struct Or : Kind<typename Other::Value> {
    static std::string type() { return Other::type() + ", or " + word.text; }
    static base::Result<typename Other::Value> read(const Node& node) {
        using Read = base::Result<typename Other::Value>;
        return is_word(node, word.text) ? Read(typename Other::Value{0}) : Other::read(node);
    }
    static std::string write(typename Other::Value value) {
        return value == 0 ? word.text : Other::write(value);
    }
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
    static base::Result<std::uint64_t> read(const Node& node);
    static std::string write(std::uint64_t value) { return write_size(value); }
};

struct Duration : Kind<std::uint64_t> {
    static std::string type() { return "a time such as 90s, 5m, 2h or 7d"; }
    static base::Result<std::uint64_t> read(const Node& node);
    static std::string write(std::uint64_t value);
};

struct Text : Kind<std::string> {
    static std::string type() { return "a text"; }
    static base::Result<std::string> read(const Node& node);
    static std::string write(const std::string& value);
};

/// The name of an account at a registry.
struct AccountName : Text {
    static base::Result<std::string> read(const Node& node);
};

struct AbsolutePath : Text {
    static std::string type() { return "an absolute path"; }
    static base::Result<std::string> read(const Node& node);
};

/// A path with ~, ${HOME}, ${USER} and ${UID}.
struct PathPattern : Text {
    static std::string type();
    static base::Result<std::string> read(const Node& node);
};

/// The one spelling of a text, or why it is not allowed.
using ReadText = base::Result<std::string> (*)(std::string_view);

struct TextList : Kind<std::vector<std::string>> {
    static base::Result<Value> read(const Node& node, ReadText reader);
    static std::string write(const Value& list);
};

template <const char* phrase, ReadText reader>
struct ListOf : TextList {
    static std::string type() { return phrase; }
    static base::Result<Value> read(const Node& node) { return TextList::read(node, reader); }
};

base::Result<std::string> read_listener(std::string_view text);
base::Result<std::string> read_bind(std::string_view text);
/// base::canonical_registry_host() of "host" or "host:port", without scheme and path.
base::Result<std::string> registry_host(std::string_view text);

inline constexpr char hosts_type[] = "a list of host or host:port";
using Hosts = ListOf<hosts_type, registry_host>;
inline constexpr char binds_type[] = "a list of SOURCE[:TARGET[:ro|rw]]";
using Binds = ListOf<binds_type, read_bind>;

/// Exactly one.
struct Listeners : TextList {
    static std::string type() { return "a list with one unix:/absolute/path"; }
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
    static std::string write(Value value);
};

/// A level that some compressor has, or auto, which is kept as 0. Whether it fits the chosen one is
/// seen when the whole section has been read.
struct CompressionLevel : Kind<unsigned> {
    static std::string type();
    static base::Result<unsigned> read(const Node& node);
    static std::string write(unsigned value) { return value == 0 ? "auto" : std::to_string(value); }
};

} // namespace slipway::config
