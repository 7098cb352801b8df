// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <sys/stat.h>
#include <sys/types.h>

// The names in a store, in one table: what may be removed is what one of its rows matches.
namespace slipway::store {

enum class Part { images, refs, grants, pins, leases, tmp };
inline constexpr std::array part_names{"images", "refs", "grants", "pins", "leases", "tmp"};
inline constexpr std::array parts{Part::images, Part::refs,   Part::grants,
                                  Part::pins,   Part::leases, Part::tmp};
constexpr const char* name_of(Part part) noexcept {
    return part_names[static_cast<std::size_t>(part)];
}

/// The mark: a file with this name and first line makes a directory a store.
inline constexpr const char* mark_name = "slipway-store";
inline constexpr std::string_view mark_line = "slipway image store 1\n";

/// "<host>.<pid>.<number>": who works below tmp/.
struct WorkName {
    std::string host;
    pid_t pid = -1;
};
std::optional<WorkName> parse_work_name(std::string_view name);

/// "<uid>.<expiry>"
struct GrantName {
    std::uint32_t uid = 0;
    std::int64_t until = 0;
};
std::optional<GrantName> parse_grant_name(std::string_view name);

/// "<id>.json.removed.<pid>.<n>": provenance on its way out; gives the id.
std::optional<std::string> parse_removed_provenance(std::string_view name);

/// The mark while it is written: "slipway-store.new.<pid>.0".
std::string unfinished_mark(pid_t pid);
bool is_unfinished_mark(std::string_view name);

/// A record while it is written, in tmp/: "slipway-record.<work name>".
std::string unfinished_record(std::string_view work);

/// The empty file that asks a server for its time: "slipway-clock.<pid>".
std::string clock_name(pid_t pid);
bool is_clock(std::string_view name);

/// Names inside refs/<hash>/, and how versions before the mark named one that they were writing.
bool is_ref_record(std::string_view name);
bool is_unfinished_ref(std::string_view name);

/// Names inside tmp/<work>/, all of regular files: the note of its owner, what is spooled, the image
/// and its provenance.
bool is_work_content(std::string_view name);
/// The note of a work directory's owner while it is written.
bool is_unfinished_owner(std::string_view name);
inline constexpr const char* owner_name = "owner";
inline constexpr std::size_t max_owner_bytes = 1024; ///< of it, and of a lease, which is alike

/// Whether this version or an older one writes this name, as this type of file, in that part.
bool is_written_name(Part part, std::string_view name, mode_t mode);

} // namespace slipway::store
