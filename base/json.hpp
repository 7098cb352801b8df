// SPDX-License-Identifier: Apache-2.0
// The only file that includes nlohmann, and only for .cpp files: careful reading of JSON that nobody
// vouches for, and writing that cannot fail.
#pragma once

#include "base/result.hpp"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace slipway::base::json {

using Value = nlohmann::json;
using OrderedValue = nlohmann::ordered_json;

/// A JSON object of at most `max` bytes and 64 levels. Errors carry `code` and name `what`.
base::Result<Value> parse_object(std::string_view text, std::size_t max, base::Code code,
                                 std::string_view what);
/// Any JSON value under the same limits.
base::Result<Value> parse_any(std::string_view text, std::size_t max, base::Code code,
                              std::string_view what);

/// The member, or nullptr when the object has none or it is null.
const Value* member(const Value& object, const char* key);

/// The getters take a missing or null member as empty; a member of another type sets `wrong` to
/// the key's name (the first one stays) and gives the empty value.
class Reader {
  public:
    explicit Reader(const Value& object) : object_(object) {}

    std::string text(const char* key);
    bool boolean(const char* key);
    std::optional<std::uint64_t> number(const char* key);
    std::optional<std::int64_t> signed_number(const char* key);
    // A null in a list or map is "", as Go reads it.
    std::vector<std::string> texts(const char* key);              ///< null | [string]
    std::vector<std::string> texts_or_text(const char* key);      ///< null | [string] | string
    std::map<std::string, std::string> text_map(const char* key); ///< null | {string: string}
    std::vector<std::string> keys(const char* key);               ///< null | {string: anything}
    const Value* array(const char* key);
    const Value* object(const char* key);

    [[nodiscard]] bool ok() const noexcept { return wrong_.empty(); }
    [[nodiscard]] const std::string& wrong() const noexcept { return wrong_; }

  private:
    const Value* get(const char* key) const { return member(object_, key); }
    void complain(const char* key);

    const Value& object_;
    std::string wrong_;
};

/// Compact or tab-indented text; bytes that are no UTF-8 become U+FFFD, never an exception. Control
/// and format characters are escaped, so that the text can be shown on a terminal.
std::string compact(const Value& value);
std::string compact(const OrderedValue& value);
std::string indented(const Value& value);
std::string indented(const OrderedValue& value);

} // namespace slipway::base::json
