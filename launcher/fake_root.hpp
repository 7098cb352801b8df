// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/identity.hpp"

/// --fakeroot: the caller is root in the container's user namespace, with the capabilities that root
/// has there, and nobody more than the caller anywhere else.
namespace slipway::launcher {

enum class RootMapping : std::uint8_t {
    ranges, ///< 0 is the caller, 1 and up are the caller's ids of /etc/subuid and /etc/subgid
    single, ///< 0 is the caller and there is nobody else
};

/// Moves this single-threaded process into a new user namespace in which `caller` is root. Other
/// users and groups come from the ranges that the administrator gave to the caller, by newuidmap(1)
/// and newgidmap(1), where there are any; where not, there is root alone. Code::
/// userns_unavailable; Code::system when the programs are there and fail.
base::Result<RootMapping> enter_root_user_namespace(const UserFacts& caller);

/// Root, as the container knows them; the home directory is the caller's, shown at /root.
UserFacts root_facts(const UserFacts& caller);

/// In place of the drop of all privileges: the capabilities of the namespace stay, no_new_privs is
/// set. With a single user calls that would need others (chown, setuid, setgroups, mknod of
/// devices) succeed from now on and do nothing, so that package managers go on. Code::system.
base::Result<void> keep_root_privileges(RootMapping mapping);

} // namespace slipway::launcher
