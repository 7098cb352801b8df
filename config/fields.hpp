// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/schema.hpp"

#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

/// How rows of a schema table are written: the member pointer says where a value is kept, the kind
/// (values.hpp) how it is written.
namespace slipway::config {

template <typename T>
struct MemberOf;
template <typename Struct, typename Value>
struct MemberOf<Value Struct::*> {
    using Owner = Struct;
};

template <auto member>
auto& member_in(void* record) {
    return static_cast<typename MemberOf<decltype(member)>::Owner*>(record)->*member;
}
template <auto member>
const auto& member_in(const void* record) {
    return static_cast<const typename MemberOf<decltype(member)>::Owner*>(record)->*member;
}

template <typename Struct>
const void* default_struct() {
    static const Struct defaults;
    return &defaults;
}

template <typename Kind, auto member>
constexpr Field value(std::string_view name, std::string_view doc, std::string_view example = {}) {
    return {.name = name,
            .doc = doc,
            .example = example,
            .type = [] { return Kind::type(); },
            .set = [](void* record, const Node& node) -> base::Result<void> {
                TRY_ASSIGN(member_in<member>(record), Kind::read(node));
                return {};
            },
            .get = [](const void* record) { return Kind::write(member_in<member>(record)); }};
}

/// Records below a key. What the member is decides: a struct is a section, a std::map holds records
/// by a name that `read_name` gives (`example` is one), a std::vector a list of them.
template <auto member>
constexpr Field records(std::string_view name, const Record& record, std::string_view doc,
                        base::Result<std::string> (*read_name)(std::string_view) = nullptr,
                        std::string_view example = {}) {
    using Below =
        std::remove_reference_t<decltype(member_in<member>(static_cast<void*>(nullptr)))>;
    constexpr bool is_map = requires {
        typename Below::mapped_type;
    };
    constexpr bool is_list = !is_map && requires {
        typename Below::value_type;
    };
    return {.name = name,
            .doc = doc,
            .example = example,
            .shape = is_map    ? Field::Shape::map
                     : is_list ? Field::Shape::list
                               : Field::Shape::one,
            .records = &record,
            .read_name = read_name,
            .add = [](void* from, std::string_view key) -> void* {
                auto& at = member_in<member>(from);
                if constexpr (is_map) {
                    return &at[std::string(key)];
                } else if constexpr (is_list) {
                    return &at.emplace_back();
                } else {
                    return &at;
                }
            },
            .all =
                [](const void* from) {
                    const auto& at = member_in<member>(from);
                    std::vector<std::pair<std::string, const void*>> all;
                    if constexpr (is_map) {
                        for (const auto& [key, each] : at) {
                            all.emplace_back(key, &each);
                        }
                    } else if constexpr (is_list) {
                        for (const auto& each : at) {
                            all.emplace_back(std::string(), &each);
                        }
                    } else {
                        all.emplace_back(std::string(), &at);
                    }
                    return all;
                }};
}

} // namespace slipway::config
