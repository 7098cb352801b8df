// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/schema.hpp"

#include <string>
#include <string_view>
#include <vector>

/// How rows of a schema table are written: the member pointer says where a value is kept, the kind
/// (values.hpp) how it is written.
namespace slipway::config {

template <typename T>
struct MemberOf;
template <typename Struct, typename T>
struct MemberOf<T Struct::*> {
    using Owner = Struct;
    using Value = T;
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

// A member that has records below its key is a section, or a map (by name) or list of them.
template <typename T>
constexpr bool is_map = requires {
    typename T::mapped_type;
};
template <typename T>
constexpr bool is_list = !is_map<T> && requires {
    typename T::value_type;
};
template <typename T>
constexpr auto shape_of = is_map<T>    ? Field::Shape::map
                          : is_list<T> ? Field::Shape::list
                                       : Field::Shape::one;

template <typename T>
void* add_to(T& held, std::string_view name) {
    if constexpr (is_map<T>) {
        return &held[std::string(name)];
    } else if constexpr (is_list<T>) {
        return &held.emplace_back();
    } else {
        return &held;
    }
}

template <typename T>
Entries entries_of(const T& held) {
    Entries entries;
    if constexpr (is_map<T>) {
        for (const auto& [name, each] : held) {
            entries.emplace_back(name, &each);
        }
    } else if constexpr (is_list<T>) {
        for (const auto& each : held) {
            entries.emplace_back("", &each);
        }
    } else {
        entries.emplace_back("", &held);
    }
    return entries;
}

/// Records below a key. The names of a map are read by `read_name`; `example` is one.
template <auto member>
constexpr Field records(std::string_view name, const Record& record, std::string_view doc,
                        base::Result<std::string> (*read_name)(std::string_view) = nullptr,
                        std::string_view example = {}) {
    return {
        .name = name,
        .doc = doc,
        .example = example,
        .shape = shape_of<typename MemberOf<decltype(member)>::Value>,
        .records = &record,
        .read_name = read_name,
        .add = [](void* to, std::string_view key) { return add_to(member_in<member>(to), key); },
        .all = [](const void* from) { return entries_of(member_in<member>(from)); }};
}

} // namespace slipway::config
