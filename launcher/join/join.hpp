// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/join/protocol.hpp"

#include <functional>

namespace slipway::launcher::join {

/// What a task holds between the moment the container is ready and the moment it enters.
struct JoinHandles {
    std::vector<std::pair<std::uint32_t, base::UniqueFd>> namespaces; ///< CLONE_NEW* kind, fd
    JoinRecord record;
};

/// Takes a `ready` message apart (namespace fds, then the record's memfd).
base::Result<JoinHandles> take_handles(Message&& ready);

/// Enters the container: setns on every namespace, capabilities dropped and verified, chdir to
/// record.cwd (falls back on "/" with a warning unless it was asked for), no_new_privs. The calling
/// process must be single-threaded and run as the user. System calls on prepared data only. The
/// environment is the caller's to apply (spank_setenv or its own environ).
/// `warn` gets one line when the working directory had to be replaced.
base::Result<void> enter(const JoinHandles& handles,
                         const std::function<void(std::string_view)>& warn);

/// Drops every capability set including ambient, sets no_new_privs, and verifies both by reading
/// them back; Code::system when anything is left.
base::Result<void> drop_privileges_for_good();

} // namespace slipway::launcher::join
