// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/environment.hpp"
#include "launcher/join/request.hpp"
#include "launcher/views.hpp"

#include <array>
#include <cstdint>
#include <span>
#include <string>
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
inline constexpr base::EnumTable origins =
    std::array{base::EnumRow{Origin::system, "system"}, base::EnumRow{Origin::site, "site"},
               base::EnumRow{Origin::user, "user"}};

/// What to make at a target that is missing. Only ever asked for where the file system at that
/// place is the container's own (tmpfs, work area, writable root).
enum class Create : std::uint8_t { nothing, directory, file };
inline constexpr base::EnumTable creations =
    std::array{base::EnumRow{Create::nothing, "nothing"},
               base::EnumRow{Create::directory, "directory"}, base::EnumRow{Create::file, "file"}};

struct Operation {
    enum class Kind : std::uint8_t {
        bind,    ///< host file or directory `source`, opened as `handle`
        tmpfs,   ///< new tmpfs of `size` bytes and `mode`
        devpts,  ///< new instance of devpts
        proc,    ///< new procfs, of the container's own processes
        sysfs,   ///< new sysfs, with the container's own network devices
        mqueue,  ///< new file system of the container's own message queues
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
    bool own = false; ///< bind: nobody else's, so that mount points can be made in it
    Create create = Create::nothing;
    std::uint32_t mode = 0755;
    std::uint64_t size = 0; ///< bytes, 0: half of the node's memory
    std::string content;
};
inline constexpr base::EnumTable operation_kinds =
    std::array{base::EnumRow{Operation::Kind::bind, "bind"},
               base::EnumRow{Operation::Kind::tmpfs, "tmpfs"},
               base::EnumRow{Operation::Kind::devpts, "devpts"},
               base::EnumRow{Operation::Kind::proc, "proc"},
               base::EnumRow{Operation::Kind::sysfs, "sysfs"},
               base::EnumRow{Operation::Kind::mqueue, "mqueue"},
               base::EnumRow{Operation::Kind::file, "file"},
               base::EnumRow{Operation::Kind::write, "write"},
               base::EnumRow{Operation::Kind::symlink, "symlink"}};

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

inline constexpr base::EnumTable underlay_methods =
    std::array{base::EnumRow{Underlay::Method::rebuilt, "rebuilt"},
               base::EnumRow{Underlay::Method::layered, "layered"}};

/// A file system of an image that is (a part of) the root.
struct ImageRoot {
    std::string path;       ///< of the image, absolute
    bool directory = false; ///< else a file, whose SquashFS the image server shows
    bool overlay = false;   ///< lies over the image; of a directory its part `upper` does
    bool writable = false;  ///< takes the container's changes
    bool own = false;       ///< for directories: it belongs to the user
};

/// Where changes to the root directory go.
enum class Changes : std::uint8_t {
    none,    ///< the root is read-only
    memory,  ///< upper layer in memory, gone with the container
    overlay, ///< the topmost root, a directory of the user's, keeps them
    image,   ///< the only root, a directory, is written to itself
};
inline constexpr base::EnumTable changes_names =
    std::array{base::EnumRow{Changes::none, "none"}, base::EnumRow{Changes::memory, "memory"},
               base::EnumRow{Changes::overlay, "overlay"}, base::EnumRow{Changes::image, "image"}};

struct Plan {
    std::vector<ImageRoot> roots; ///< lowest first, at least one
    Changes changes = Changes::none;
    std::uint64_t writable_size = 0; ///< bytes, of changes in memory; 0: half of the node's memory
    join::Namespaces namespaces;     ///< besides those of users and mounts
    std::vector<Underlay> underlays; ///< parents come before what lies below them
    std::vector<Operation> operations;
    std::string cwd;            ///< to be tried first; absolute
    bool cwd_asked_for = false; ///< then there is no second try
    std::string home;           ///< value of HOME
    EnvironmentPlan environment;
    std::vector<std::string> warnings;
};

/// The plan for people: one line for each step.
std::string plan_text(const Plan& plan);
/// The plan and the command to be run in it as a JSON object (docs/formats/plan.md).
std::string plan_json(const Plan& plan, std::span<const std::string> command);

} // namespace slipway::launcher
