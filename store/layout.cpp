// SPDX-License-Identifier: Apache-2.0
#include "store/layout.hpp"

#include "base/text.hpp"
#include "store/store.hpp"

#include <algorithm>

namespace slipway::store {
namespace {

/// The largest pid that Linux gives.
constexpr std::uint64_t max_pid = 4194304;

bool is_number(std::string_view text, std::uint64_t max = UINT64_MAX) {
    return base::parse_u64(text, max).has_value();
}

/// What stands before the last two fields of "front.<pid>.<number>"; nothing when they are no such.
std::optional<std::string_view> front_of(std::string_view name) {
    const auto last = name.rfind('.');
    const auto before = last == std::string_view::npos || last == 0 ? std::string_view::npos
                                                                    : name.rfind('.', last - 1);
    if (before == std::string_view::npos || before == 0 || !is_number(name.substr(last + 1)) ||
        !is_number(name.substr(before + 1, last - before - 1), max_pid)) {
        return std::nullopt;
    }
    return name.substr(0, before);
}

/// The id in "<id><ending>".
std::string_view id_before(std::string_view name, std::string_view ending) {
    const bool fits = name.ends_with(ending) &&
                      is_image_id(name.substr(0, name.size() - ending.size()));
    return fits ? name.substr(0, name.size() - ending.size()) : std::string_view();
}

bool is_image(std::string_view name) {
    return !id_before(name, ".sif").empty();
}

bool is_provenance(std::string_view name) {
    return !id_before(name, ".json").empty() || parse_removed_provenance(name).has_value();
}

bool is_lease(std::string_view name) {
    const auto front = front_of(name);
    return is_image_id(name) || (front && !id_before(*front, ".broken").empty());
}

bool is_work(std::string_view name) {
    return parse_work_name(name).has_value();
}

/// A record being written, or the file that asks a server for its time.
bool is_work_file(std::string_view name) {
    constexpr std::string_view record = ".new";
    constexpr std::string_view clock = ".clock.";
    return (name.ends_with(record) && is_work(name.substr(0, name.size() - record.size()))) ||
           (name.starts_with(clock) && is_number(name.substr(clock.size()), max_pid));
}

struct WrittenName {
    Part part;
    mode_t type;
    bool (*matches)(std::string_view);
};
constexpr std::array written_names{
    WrittenName{Part::images, S_IFREG, is_image},
    WrittenName{Part::images, S_IFREG, is_provenance},
    WrittenName{Part::refs, S_IFDIR, [](std::string_view name) { return is_image_id(name); }},
    WrittenName{Part::grants, S_IFDIR, [](std::string_view name) { return is_image_id(name); }},
    WrittenName{Part::pins, S_IFREG, [](std::string_view name) { return is_image_id(name); }},
    WrittenName{Part::leases, S_IFREG, is_lease},
    WrittenName{Part::tmp, S_IFDIR, is_work},
    WrittenName{Part::tmp, S_IFREG, is_work_file},
};

} // namespace

std::optional<WorkName> parse_work_name(std::string_view name) {
    const auto front = front_of(name);
    if (!front) {
        return std::nullopt;
    }
    const auto rest = name.substr(front->size() + 1);
    const auto pid = base::parse_u64(rest.substr(0, rest.find('.')), max_pid);
    return WorkName{std::string(*front), static_cast<pid_t>(*pid)};
}

std::optional<GrantName> parse_grant_name(std::string_view name) {
    const auto dot = name.find('.');
    if (dot == std::string_view::npos) {
        return std::nullopt;
    }
    const auto uid = base::parse_u64(name.substr(0, dot), UINT32_MAX);
    const auto until = base::parse_u64(name.substr(dot + 1), INT64_MAX);
    if (!uid || !until) {
        return std::nullopt;
    }
    return GrantName{static_cast<std::uint32_t>(*uid), static_cast<std::int64_t>(*until)};
}

std::optional<std::string> parse_removed_provenance(std::string_view name) {
    const auto front = front_of(name);
    const auto id = front ? id_before(*front, ".json.removed") : std::string_view();
    return id.empty() ? std::nullopt : std::optional<std::string>(id);
}

bool is_unfinished(std::string_view name) {
    const auto front = front_of(name);
    return front && front->ends_with(".new");
}

bool is_ref_record(std::string_view name) {
    // "<seconds, 12 digits><nanoseconds, 9 digits>-<digest>.json"
    constexpr std::size_t digits = 21;
    return name.size() > digits + 1 && name[digits] == '-' && name.ends_with(".json") &&
           std::all_of(name.begin(), name.begin() + digits,
                       [](char c) { return c >= '0' && c <= '9'; });
}

bool is_written_name(Part part, std::string_view name, mode_t mode) {
    return std::any_of(written_names.begin(), written_names.end(), [&](const WrittenName& row) {
        return row.part == part && (mode & S_IFMT) == row.type && row.matches(name);
    });
}

} // namespace slipway::store
