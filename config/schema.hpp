// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/config.hpp"
#include "config/document.hpp"

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// The engine that reads, checks, shows and documents a site file along a table. A table is a
/// Record: its fields are values, records of their own (sections), maps of records by name, and
/// lists of records, as deep as needed. Everything that is known about a key is in its row.
namespace slipway::config {

struct Record;

/// The structs below a key; in a map each with its name.
using Entries = std::vector<std::pair<std::string, const void*>>;

/// One key. A value has type, set and get; records below it have `records` and the functions
/// behind. `record` is always the struct that the Record around it describes.
struct Field {
    std::string_view name;
    std::string_view doc;     ///< whole sentences for an administrator
    std::string_view example; ///< YAML, "" to show the default; for a map the name of an example
    /// "a size such as 512MiB, at least 4KiB"
    std::string (*type)() = nullptr;
    /// The error has only the message and the hint; the caller knows file, line and key.
    base::Result<void> (*set)(void* record, const Node& value) = nullptr;
    std::string (*get)(const void* record) = nullptr; ///< YAML

    enum class Shape { value, one, map, list };
    Shape shape = Shape::value;
    const Record* records = nullptr;
    /// The one spelling of a name in a map.
    base::Result<std::string> (*read_name)(std::string_view name) = nullptr;
    /// The struct below: the one there is, the one of that name, or a new one at the end.
    void* (*add)(void* record, std::string_view name) = nullptr;
    Entries (*all)(const void* record) = nullptr;
};

/// A key that people may know from the documentation of later versions, and why it is refused.
struct Refusal {
    std::string_view name;
    std::string_view reason;
};

/// What is wrong between the keys of one record, and at which of them.
struct Conflict {
    std::string_view key;
    std::string what;
    std::string hint;
};

struct Record {
    std::span<const Field> fields;
    std::span<const Refusal> refusals = {};
    /// Called when every key is valid.
    std::vector<Conflict> (*conflicts)(const void* record) = nullptr;
    const void* (*defaults)() = nullptr; ///< the struct as it is when the file says nothing
};

/// The site file.
const Record& site_record();

/// Default of a value as YAML; "" (empty text) and [] and {} mean that there is none.
std::string default_text(const Record& record, const Field& field);

/// Reads a document into the struct that `record` describes; gives every problem, not only the
/// first, in the order of the file.
std::vector<base::Error> read_record(const Record& record, const Node& document,
                                     std::string_view name, void* target);

/// The values in force, as YAML that read_record() accepts. Records of maps and lists are shown
/// without keys that have their default.
std::string show_record(const Record& record, const void* from, std::size_t indent = 0,
                        bool only_changed = false);

/// Every key commented out, with documentation, type and default or example.
std::string example_of(const Record& record, std::size_t indent = 0, bool in_list = false);

/// Opens a file that is only to be checked: anybody's, but a plain file.
base::Result<base::UniqueFd> open_draft(const std::string& path);

/// Every problem of a site file; empty when parse() accepts it.
std::vector<base::Error> problems(std::string_view text, std::string_view name);

/// `text` as a YAML scalar, in quotes where it needs them.
std::string yaml_scalar(std::string_view text);

} // namespace slipway::config
