// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>
#include <vector>

/// Devices of the node and the files that belong to their drivers: what a container gets of them.
namespace slipway::launcher::devices {

/// Where files of drivers lie in a container that are found by their names only.
inline constexpr const char* library_directory = "/.singularity.d/libs";

/// A file or directory of the host at a place in the container.
struct Mount {
    std::string source; ///< on the host, absolute
    std::string target; ///< in the container, absolute
    int handle = -1;    ///< of Host::open(): what was looked at is what is mounted
    bool readonly = true;
};

struct Link {
    std::string target; ///< where it is, in the container
    std::string to;     ///< what it says
};

/// Changes to a container that make devices usable in it. Nothing in here is worth an error: what
/// cannot be had is left out.
struct ContainerEdits {
    /// Variables of the caller's that go in even when the others stay out.
    std::vector<std::pair<std::string, std::string>> environment;
    std::vector<Mount> nodes; ///< below /dev, for a container that does not have the host's /dev
    std::vector<Mount> mounts;
    std::vector<Link> symlinks; ///< in `library_directories` only
    /// Directories that are the container's own, in memory, and that its loader has to search.
    std::vector<std::string> library_directories;
    std::vector<std::string> warnings;
};

} // namespace slipway::launcher::devices
