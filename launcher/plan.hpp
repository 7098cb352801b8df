// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/views.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// A container as data: what will be mounted where, in which order. Made by planner.hpp without any
/// privilege, carried out by executor.hpp, printed by `slipway exec --dry-run`, asserted by tests.
namespace slipway::launcher {

/// Who wants a thing, and thereby whether its failure stops the start.
enum class Origin : std::uint8_t {
    system, ///< every container has it
    site,   ///< the site file asks for it; failure is a warning
    user,   ///< the user asked for it; failure is an error
};
std::string_view origin_name(Origin origin) noexcept;

/// What to make at a target that is missing. Only ever asked for where the file system at that
/// place is the container's own (tmpfs, writable root).
enum class Create : std::uint8_t { nothing, directory, file };

struct Operation {
    enum class Kind : std::uint8_t {
        bind,    ///< host file or directory `source`, opened as `handle`
        tmpfs,   ///< new tmpfs of `size` bytes and `mode`
        devpts,  ///< new instance of devpts
        file,    ///< read-only file with `content`
        write,   ///< file of the writable root: `content`, or that of the host's file `source`
        symlink, ///< symbolic link to `source`; the place is the container's own
    };
    Kind kind = Kind::bind;
    Origin origin = Origin::system;
    std::string target; ///< inside the container, absolute
    std::string source;
    int handle = -1;                        ///< HostView's, for bind and for write from `source`
    EntryKind shape = EntryKind::directory; ///< what appears at the target: directory or file
    bool readonly = false;
    bool nodev = true;
    bool noexec = false;
    bool private_propagation = false;
    Create create = Create::nothing;
    std::uint32_t mode = 0755;
    std::uint64_t size = 0; ///< bytes, 0: half of the node's memory
    std::string content;
};
std::string_view kind_name(Operation::Kind kind) noexcept;

/// A read-only directory of the image that lacks mount points gets a layer with these over or under
/// it. `make` is relative to `target`, parents are made, too.
struct Underlay {
    enum class Method : std::uint8_t {
        rebuilt, ///< tmpfs with the mount points; every entry of the image's directory bound back
        layered, ///< read-only overlayfs: the mount points above the image's directory
    };
    std::string target;
    Method method = Method::rebuilt;
    std::vector<std::pair<std::string, EntryKind>> make;
    std::vector<std::pair<std::string, Entry>> keep; ///< for rebuilt: names that come back
};

struct Plan {
    /// true: the root is an overlay with an upper layer in memory of `writable_size` bytes (0: half
    /// of the node's memory).
    bool writable = false;
    std::uint64_t writable_size = 0;
    std::vector<Underlay> underlays; ///< parents come before what lies below them
    std::vector<Operation> operations;
    std::string cwd;            ///< to be tried first; absolute
    bool cwd_asked_for = false; ///< then there is no second try
    std::string home;           ///< value of HOME
    std::vector<std::string> warnings;
};

/// The plan for people: one line for each step.
std::string plan_text(const Plan& plan);
/// The plan as a JSON object (stable keys, documented in docs/formats).
std::string plan_json(const Plan& plan);

} // namespace slipway::launcher
