// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.hpp"

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace slipway::launcher::join {

/// Largest encoded request: the job's environment is in it, and Linux allows 2 MiB of that by
/// default; more is refused with Code::limit_exceeded.
inline constexpr std::size_t max_request_bytes = 4U << 20U;

/// One bind as the user wrote it, in one of the spellings that users bring.
enum class MountSyntax : std::uint8_t {
    pyxis,     ///< --container-mounts=SRC:DST[:FLAG+FLAG],…
    bind,      ///< --bind / -B of Singularity and Apptainer
    mount_csv, ///< --mount type=bind,source=…
};
struct MountRequest {
    MountSyntax syntax = MountSyntax::bind;
    std::string text;

    bool operator==(const MountRequest&) const = default;
};

/// A file system that lies over the image's.
struct OverlayRequest {
    std::string path;      ///< of a directory that holds `upper` and `work`, or of an image file
    bool readonly = false; ///< image files are, whatever this says

    bool operator==(const OverlayRequest&) const = default;
};

enum class Switch : std::uint8_t { site_default, off, on };

/// How much of the host's environment and directories the container sees (native-image.md §6, §8).
enum class Containment : std::uint8_t {
    none,
    contain,     ///< --contain: empty /tmp and $HOME, minimal /dev
    contain_all, ///< and a clean environment
};

/// Namespaces of its own that the container gets besides those of users and mounts, which every
/// container has.
struct Namespaces {
    bool pid = false;
    bool init = true; ///< with pid: a small init of ours is process 1, and the command is not
    bool ipc = false;
    bool network = false;
    bool uts = false;
    std::string hostname{}; ///< with uts; empty: that of the node

    bool operator==(const Namespaces&) const = default;
};

/// Everything that somebody asked for, from either door (srun or `slipway exec`). Written by the
/// user, so nothing in it is trusted: it is read by the launcher only after that has become the
/// user, and every path in it is opened with the user's rights. A staged image is named by its id:
/// where the site's store is, the node's own configuration says.
struct Request {
    std::string image;     ///< path of a .sif, .sqsh or directory; empty when there is an image_id
    std::string image_id;  ///< of an image in a store (is_image_id()); else empty
    /// Root of the user's own store, where image_id is; empty: the site's store.
    std::string image_store;
    std::string reference; ///< what the user typed, for messages and SLIPWAY_CONTAINER
    std::vector<MountRequest> mounts;
    std::vector<std::string> scratch;  ///< --scratch directories (tmpfs inside)
    std::vector<std::string> no_mount; ///< --no-mount names or paths
    std::string workdir;               ///< --container-workdir / --cwd; empty: see cwd
    std::string cwd;                   ///< current directory of the caller, absolute
    std::string home;                  ///< --home SRC[:DST]; empty: the passwd home
    Switch mount_home = Switch::site_default;
    Switch writable =
        Switch::site_default; ///< on: writable root (tmpfs or overlay), off: read-only
    bool write_image = false; ///< --writable: changes go into the image, which must be a directory
    std::vector<OverlayRequest> overlays; ///< --overlay, the topmost first
    Containment containment = Containment::none;
    Namespaces namespaces;
    bool fake_root = false;       ///< --fakeroot: the user is root inside
    bool nv = false;                  ///< --nv: files and devices of NVIDIA's driver
    bool rocm = false;                ///< --rocm: the same of AMD's; --nv wins
    std::vector<std::string> dns; ///< --dns: addresses of name servers; empty: the node's
    /// --workdir: host directory whose parts stand in for what would be in memory (/tmp, home,
    /// scratch directories); empty: none.
    std::string work_area;
    bool clean_environment = false;
    bool shell_evaluation = true;              ///< false: --no-eval
    std::vector<std::string> keep_environment; ///< --container-env: names whose host value wins
    std::vector<std::pair<std::string, std::string>> set_environment; ///< --env and SINGULARITYENV_
    std::vector<std::string> environment; ///< NAME=value list of the caller
    /// Files that must be visible at their own path whatever else is mounted: the batch script that
    /// slurmd spooled. A missing one is an error.
    std::vector<std::string> required_files;
    std::string hostname_text; ///< node name for messages
    std::uint32_t job_id = 0;
    std::uint32_t step_id = 0;

    bool operator==(const Request&) const = default;
};

/// 64 digits of lower-case hexadecimal, as store::image_id() gives them.
bool is_image_id(std::string_view text) noexcept;

std::string encode(const Request& request);
/// Bounded decode of hostile bytes: every length is checked, unknown trailing bytes are an error.
base::Result<Request> decode_request(std::string_view bytes);

/// One change to a task's environment, in order. No value: the variable is removed.
struct EnvironmentChange {
    std::string name;
    std::optional<std::string> value;

    bool operator==(const EnvironmentChange&) const = default;
};

/// What a task needs, besides the namespaces, to be inside the container. Made once per step by the
/// launcher, applied by every task (and by `slipway exec` to itself).
struct JoinRecord {
    std::vector<EnvironmentChange> environment;
    std::string cwd;                ///< inside the container, exists
    bool cwd_was_asked_for = false; ///< a failing chdir is then an error, not a warning
    std::string image_name;         ///< for messages

    bool operator==(const JoinRecord&) const = default;
};

std::string encode(const JoinRecord& record);
base::Result<JoinRecord> decode_join_record(std::string_view bytes);

} // namespace slipway::launcher::join
