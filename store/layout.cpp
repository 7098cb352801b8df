// SPDX-License-Identifier: Apache-2.0
#include "store/layout.hpp"

#include "base/format.hpp"
#include "base/text.hpp"
#include "base/words.hpp"
#include "store/store.hpp"

#include <algorithm>

namespace slipway::store {
namespace {

/// The largest pid that Linux gives.
constexpr std::uint64_t max_pid = 4194304;

/// As we write numbers: without leading zeros.
bool is_number(std::string_view text, std::uint64_t max = UINT64_MAX) {
    return base::parse_u64(text, max).has_value() && (text.size() == 1 || text.front() != '0');
}

/// As gethostname(2) can say it.
bool is_host(std::string_view text) {
    constexpr std::size_t longest = 255;
    return !text.empty() && text.size() <= longest && text.front() != '.' &&
           std::all_of(text.begin(), text.end(), [](char c) {
               return base::is_alphanumeric(c) || c == '-' || c == '.' || c == '_';
           });
}

/// "<finished>.new", or as versions before the mark wrote it, "<finished>.new.<pid>.<n>".
bool is_unfinished(std::string_view name, std::string_view finished);

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

constexpr std::string_view record_prefix = "slipway-record.";
constexpr std::string_view clock_prefix = "slipway-clock.";

bool is_work_file(std::string_view name) {
    return is_clock(name) ||
           (name.starts_with(record_prefix) && is_work(name.substr(record_prefix.size())));
}

bool is_unfinished(std::string_view name, std::string_view finished) {
    const auto front = front_of(name).value_or(name);
    constexpr std::string_view ending = ".new";
    return front.ends_with(ending) && front.substr(0, front.size() - ending.size()) == finished;
}

/// Made by the sources of images: "spool.<pid>.<n>", or "spool.XXXXXX" of mkstemp(3).
bool is_spool(std::string_view name) {
    constexpr std::string_view prefix = "spool.";
    constexpr std::size_t random = 6;
    const auto rest = name.starts_with(prefix) ? name.substr(prefix.size()) : std::string_view();
    return front_of(name) == "spool" ||
           (rest.size() == random && std::all_of(rest.begin(), rest.end(), [](char c) {
                return base::is_alphanumeric(c);
            }));
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
    if (!front || !is_host(*front)) {
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
    if (!is_number(name.substr(0, dot), UINT32_MAX) || !is_number(name.substr(dot + 1), INT64_MAX)) {
        return std::nullopt;
    }
    const auto uid = base::parse_u64(name.substr(0, dot), UINT32_MAX);
    const auto until = base::parse_u64(name.substr(dot + 1), INT64_MAX);
    return GrantName{static_cast<std::uint32_t>(*uid), static_cast<std::int64_t>(*until)};
}

std::optional<std::string> parse_removed_provenance(std::string_view name) {
    const auto front = front_of(name);
    const auto id = front ? id_before(*front, ".json.removed") : std::string_view();
    return id.empty() ? std::nullopt : std::optional<std::string>(id);
}

std::string unfinished_mark(pid_t pid) {
    return fmt::format("{}.new.{}.0", mark_name, pid);
}

bool is_unfinished_mark(std::string_view name) {
    return is_unfinished(name, mark_name) && name.ends_with(".0");
}

std::string unfinished_record(std::string_view work) {
    return std::string(record_prefix) + std::string(work);
}

std::string clock_name(pid_t pid) {
    return fmt::format("{}{}", clock_prefix, pid);
}

bool is_clock(std::string_view name) {
    return name.starts_with(clock_prefix) && is_number(name.substr(clock_prefix.size()), max_pid);
}

bool is_ref_record(std::string_view name) {
    // "<seconds, 12 digits><nanoseconds, 9 digits>-<algorithm>:<digest>.json"
    constexpr std::size_t digits = 21;
    constexpr std::string_view ending = ".json";
    if (name.size() <= digits + ending.size() || name[digits] != '-' || !name.ends_with(ending) ||
        !std::all_of(name.begin(), name.begin() + digits,
                     [](char c) { return c >= '0' && c <= '9'; })) {
        return false;
    }
    const auto digest = name.substr(digits + 1, name.size() - digits - 1 - ending.size());
    const auto colon = digest.find(':');
    return colon != std::string_view::npos && colon != 0 &&
           base::is_lower_hex(digest.substr(colon + 1));
}

bool is_unfinished_ref(std::string_view name) {
    constexpr std::string_view ending = ".new";
    const auto front = front_of(name);
    return front && front->ends_with(ending) &&
           is_ref_record(front->substr(0, front->size() - ending.size()));
}

bool is_unfinished_owner(std::string_view name) {
    return is_unfinished(name, owner_name);
}

bool is_work_content(std::string_view name) {
    constexpr std::string_view provenance = "provenance.json";
    return name == owner_name || name == "image.sif" || name == provenance ||
           is_unfinished_owner(name) || is_unfinished(name, provenance) || is_spool(name);
}

bool is_written_name(Part part, std::string_view name, mode_t mode) {
    return std::any_of(written_names.begin(), written_names.end(), [&](const WrittenName& row) {
        return row.part == part && (mode & S_IFMT) == row.type && row.matches(name);
    });
}

} // namespace slipway::store
