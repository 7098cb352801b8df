// SPDX-License-Identifier: Apache-2.0
#include "base/json.hpp"

#include "base/format.hpp"
#include "base/text.hpp"
#include "base/utf8.hpp"

#include <algorithm>

namespace slipway::base::json {
namespace {

constexpr std::size_t max_depth = 64;

/// Deepest nesting of brackets outside strings. Looked at before parsing, because later code that
/// walks a value (dump, copy) recurses.
std::size_t depth_of(std::string_view text) noexcept {
    std::size_t depth = 0;
    std::size_t deepest = 0;
    bool in_string = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (in_string) {
            if (c == '\\') {
                ++i;
            } else if (c == '"') {
                in_string = false;
            }
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            deepest = std::max(deepest, ++depth);
        } else if ((c == '}' || c == ']') && depth > 0) {
            --depth;
        }
    }
    return deepest;
}

/// JSON with \uNNNN for what printable() would not let through: to a reader of JSON it is the same,
/// to a terminal it is text. Such characters are in strings only.
std::string visible(std::string text) {
    constexpr auto suspicious = [](char c) { return static_cast<unsigned char>(c) >= 0x7F; };
    if (std::none_of(text.begin(), text.end(), suspicious)) {
        return text;
    }
    std::string safe;
    for (std::string_view rest = text; !rest.empty();) {
        const auto character = rest.substr(0, std::max<std::size_t>(utf8_length(rest), 1));
        rest.remove_prefix(character.size());
        if (suspicious(character.front()) && printable(character) != character) {
            const auto quoted =
                Value(character).dump(-1, ' ', true, Value::error_handler_t::replace);
            safe += std::string_view(quoted).substr(1, quoted.size() - 2);
        } else {
            safe += character;
        }
    }
    return safe;
}

} // namespace

Result<Value> parse_any(std::string_view text, std::size_t max, Code code, std::string_view what) {
    if (text.size() > max) {
        return fail(Code::limit_exceeded,
                    fmt::format("{} is {} long, more than the {} that are accepted", what,
                                size_text(text.size()), size_text(max)));
    }
    if (depth_of(text) > max_depth) {
        return fail(code, fmt::format("{} is nested too deeply", what));
    }
    auto value = Value::parse(text.begin(), text.end(), nullptr, false);
    if (value.is_discarded()) {
        return fail(code, fmt::format("{} is not valid JSON", what));
    }
    return value;
}

Result<Value> parse_object(std::string_view text, std::size_t max, Code code,
                           std::string_view what) {
    TRY_ASSIGN(auto value, parse_any(text, max, code, what));
    if (!value.is_object()) {
        return fail(code, fmt::format("{} is not a JSON object", what));
    }
    return value;
}

const Value* member(const Value& object, const char* key) {
    const auto found = object.find(key);
    return found == object.end() || found->is_null() ? nullptr : &*found;
}

void Reader::complain(const char* key) {
    if (wrong_.empty()) {
        wrong_ = key;
    }
}

std::string Reader::text(const char* key) {
    const auto* value = get(key);
    if (value == nullptr) {
        return {};
    }
    if (const auto* text = value->get_ptr<const std::string*>()) {
        return *text;
    }
    complain(key);
    return {};
}

bool Reader::boolean(const char* key) {
    const auto* value = get(key);
    if (value == nullptr) {
        return false;
    }
    if (const auto* flag = value->get_ptr<const bool*>()) {
        return *flag;
    }
    complain(key);
    return false;
}

std::optional<std::uint64_t> Reader::number(const char* key) {
    const auto* value = get(key);
    if (value == nullptr) {
        return std::nullopt;
    }
    if (const auto* number = value->get_ptr<const std::uint64_t*>()) {
        return *number;
    }
    complain(key);
    return std::nullopt;
}

std::optional<std::int64_t> Reader::signed_number(const char* key) {
    const auto* value = get(key);
    if (value == nullptr) {
        return std::nullopt;
    }
    if (value->is_number_unsigned()) {
        const auto number = *value->get_ptr<const std::uint64_t*>();
        if (number <= INT64_MAX) {
            return static_cast<std::int64_t>(number);
        }
    } else if (const auto* number = value->get_ptr<const std::int64_t*>()) {
        return *number;
    }
    complain(key);
    return std::nullopt;
}

std::vector<std::string> Reader::texts(const char* key) {
    std::vector<std::string> list;
    if (const auto* values = array(key)) {
        for (const auto& value : *values) {
            const auto* text = value.get_ptr<const std::string*>();
            if (text == nullptr && !value.is_null()) {
                complain(key);
                return {};
            }
            list.push_back(text == nullptr ? std::string() : *text);
        }
    }
    return list;
}

std::vector<std::string> Reader::texts_or_text(const char* key) {
    const auto* value = get(key);
    if (value != nullptr && value->is_string()) {
        const auto& one = *value->get_ptr<const std::string*>();
        return one.empty() ? std::vector<std::string>() : std::vector<std::string>{one};
    }
    return texts(key);
}

std::map<std::string, std::string> Reader::text_map(const char* key) {
    std::map<std::string, std::string> map;
    if (const auto* values = object(key)) {
        for (const auto& [name, value] : values->items()) {
            const auto* text = value.get_ptr<const std::string*>();
            if (text == nullptr && !value.is_null()) {
                complain(key);
                return {};
            }
            map.emplace(name, text == nullptr ? std::string() : *text);
        }
    }
    return map;
}

std::vector<std::string> Reader::keys(const char* key) {
    std::vector<std::string> list;
    if (const auto* values = object(key)) {
        for (const auto& item : values->items()) {
            list.push_back(item.key());
        }
    }
    return list;
}

const Value* Reader::array(const char* key) {
    const auto* value = get(key);
    if (value != nullptr && !value->is_array()) {
        complain(key);
        return nullptr;
    }
    return value;
}

const Value* Reader::object(const char* key) {
    const auto* value = get(key);
    if (value != nullptr && !value->is_object()) {
        complain(key);
        return nullptr;
    }
    return value;
}

std::string compact(const Value& value) {
    return visible(value.dump(-1, ' ', false, Value::error_handler_t::replace));
}
std::string compact(const OrderedValue& value) {
    return visible(value.dump(-1, ' ', false, OrderedValue::error_handler_t::replace));
}
std::string indented(const Value& value) {
    return visible(value.dump(1, '\t', false, Value::error_handler_t::replace));
}
std::string indented(const OrderedValue& value) {
    return visible(value.dump(1, '\t', false, OrderedValue::error_handler_t::replace));
}

} // namespace slipway::base::json
