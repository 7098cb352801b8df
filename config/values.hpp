// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/config.hpp"
#include "config/document.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

/// Kinds of values in the site file. Each kind is a struct with: Value, the C++ type; type(), a
/// phrase for people; read(), the strict parser (errors name neither file nor key: the caller adds
/// them); write(), the YAML text.
namespace slipway::config {

struct Boolean {
    using Value = bool;
    static std::string type();
    static base::Result<Value> read(const Node& node);
    static std::string write(Value value);
};

/// Leaves room to add sizes up without overflow.
inline constexpr std::uint64_t max_size = UINT64_MAX / 4;

base::Result<std::uint64_t> read_number(const Node& node, std::uint64_t min, std::uint64_t max);
base::Result<std::uint64_t> read_size(const Node& node, std::uint64_t min, std::uint64_t max);
base::Result<std::string> read_text(const Node& node);
std::string number_type(std::uint64_t min, std::uint64_t max);
std::string write_size(std::uint64_t bytes);
bool is_auto(const Node& node);

template <typename T, std::uint64_t min, std::uint64_t max>
struct Number {
    using Value = T;
    static std::string type() { return number_type(min, max); }
    static base::Result<Value> read(const Node& node) {
        TRY_ASSIGN(const auto value, read_number(node, min, max));
        return static_cast<T>(value);
    }
    static std::string write(Value value) { return std::to_string(value); }
};

/// A number or the word auto, which is kept as 0.
template <std::uint64_t max>
struct NumberOrAuto {
    using Value = unsigned;
    static std::string type() { return number_type(1, max) + ", or auto"; }
    static base::Result<Value> read(const Node& node) {
        if (is_auto(node)) {
            return 0U;
        }
        TRY_ASSIGN(const auto value, read_number(node, 1, max));
        return static_cast<Value>(value);
    }
    static std::string write(Value value) { return value == 0 ? "auto" : std::to_string(value); }
};

template <std::uint64_t min>
struct Size {
    using Value = std::uint64_t;
    static std::string type() {
        return "a size such as 512MiB or 20TiB, at least " + write_size(min);
    }
    static base::Result<Value> read(const Node& node) { return read_size(node, min, max_size); }
    static std::string write(Value value) { return write_size(value); }
};

/// A size, or the word none, which is kept as 0.
template <std::uint64_t min>
struct SizeOrNone {
    using Value = std::uint64_t;
    static std::string type() { return "a size such as 512MiB or 20TiB, or none"; }
    static base::Result<Value> read(const Node& node) {
        if (node.kind == Node::Kind::scalar && node.text == "none") {
            return 0U;
        }
        return read_size(node, min, max_size);
    }
    static std::string write(Value value) { return value == 0 ? "none" : write_size(value); }
};

/// A size, or the word auto, which is kept as 0.
template <std::uint64_t min>
struct SizeOrAuto {
    using Value = std::uint64_t;
    static std::string type() { return "a size such as 512MiB or 20TiB, or auto"; }
    static base::Result<Value> read(const Node& node) {
        if (node.kind == Node::Kind::scalar && node.text == "auto") {
            return 0U;
        }
        return read_size(node, min, max_size);
    }
    static std::string write(Value value) { return value == 0 ? "auto" : write_size(value); }
};

struct Percent {
    using Value = unsigned;
    static std::string type();
    static base::Result<Value> read(const Node& node);
    static std::string write(Value value) { return std::to_string(value) + "%"; }
};

struct BlockSize {
    using Value = std::uint64_t;
    static std::string type();
    static base::Result<Value> read(const Node& node);
    static std::string write(Value value) { return write_size(value); }
};

struct Duration {
    using Value = std::uint64_t;
    static std::string type();
    static base::Result<Value> read(const Node& node);
    static std::string write(Value value);
};

struct Text {
    using Value = std::string;
    static std::string type();
    static base::Result<Value> read(const Node& node);
    static std::string write(const Value& value);
};

struct AbsolutePath {
    using Value = std::string;
    static std::string type();
    static base::Result<Value> read(const Node& node);
    static std::string write(const Value& value);
};

/// A path with ~, ${HOME}, ${USER} and ${UID}.
struct PathPattern {
    using Value = std::string;
    static std::string type();
    static base::Result<Value> read(const Node& node);
    static std::string write(const Value& value);
};

using TextList = std::vector<std::string>;
using TextMap = std::map<std::string, std::string>;

/// A list of texts that each satisfy `check`.
base::Result<TextList> read_list(const Node& node, base::Result<void> (*check)(std::string_view));
std::string write_list(const TextList& list);

struct Listeners {
    using Value = TextList;
    static std::string type();
    static base::Result<Value> read(const Node& node);
    static std::string write(const Value& value) { return write_list(value); }
};

struct Hosts {
    using Value = TextList;
    static std::string type();
    static base::Result<Value> read(const Node& node);
    static std::string write(const Value& value) { return write_list(value); }
};

struct Binds {
    using Value = TextList;
    static std::string type();
    static base::Result<Value> read(const Node& node);
    static std::string write(const Value& value) { return write_list(value); }
};

struct Environment {
    using Value = TextMap;
    static std::string type();
    static base::Result<Value> read(const Node& node);
    static std::string write(const Value& value);
};

/// base::canonical_registry_host() of "host" or "host:port", without scheme and path.
base::Result<std::string> registry_host(std::string_view text);

/// A compressor that we write.
struct CompressorName {
    using Value = squashfs::Compressor;
    static std::string type();
    static base::Result<Value> read(const Node& node);
    static std::string write(Value value);
};

/// A level that some compressor has, or auto, which is kept as 0. Whether it fits the chosen one is
/// seen when the whole file has been read.
struct CompressionLevel {
    using Value = unsigned;
    static std::string type();
    static base::Result<Value> read(const Node& node);
    static std::string write(Value value) { return value == 0 ? "auto" : std::to_string(value); }
};

struct DeviceModeName {
    using Value = DeviceMode;
    static std::string type();
    static base::Result<Value> read(const Node& node);
    static std::string write(Value value);
};

} // namespace slipway::config
