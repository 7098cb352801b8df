// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/fd.hpp"

#include <string>

#include <sys/stat.h>

namespace slipway::base {

/// What is allowed on the way to a file, and done about what is missing.
class WayRules {
  public:
    WayRules() = default;
    WayRules(const WayRules&) = delete;
    WayRules& operator=(const WayRules&) = delete;
    virtual ~WayRules() = default;

    /// Called for everything on the way ("/", every directory, every symlink, the file itself) before
    /// it is entered or followed. `path` is how the walk came there.
    virtual Result<void> check(const struct stat& facts, const std::string& path) = 0;

    /// Called for a name that is not in `directory`; false when it stays missing. `last`: nothing
    /// comes behind it.
    virtual Result<bool> make(int directory, const std::string& name, const std::string& path,
                              bool last);
};

/// Opens a file or directory by a path that is walked by descriptors, from "/" or the current directory
/// on: what was checked is what is entered, and a rename in between changes nothing. Symlinks are followed, at most 40.
/// `flags` as for open(2), O_CLOEXEC is added; with O_PATH alone the last part is not opened again.
/// Errors of system calls are Code::io with their errno; others are the rules' own.
Result<UniqueFd> walk_path(const std::string& path, int flags, WayRules& rules);

} // namespace slipway::base
