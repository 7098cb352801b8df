// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/plan.hpp"

#include <functional>

namespace slipway::launcher {

/// Carries out a plan in the current mount namespace, which must be private to the container, and
/// makes the result the root directory of the process. `root` is what the plan's roots come to
/// (lay_roots()); `host` holds what the plan's binds refer to. Needs
/// CAP_SYS_ADMIN in the namespace that owns the mount namespace, and /proc of the host. Whatever
/// happens, the process is of no use on the host afterwards. `warn` gets a line for each mount that
/// could not be had and was not asked for by the user.
base::Result<void> execute_plan(const Plan& plan, base::UniqueFd root,
                                const MountableHost& host,
                                const std::function<void(std::string_view)>& warn);

} // namespace slipway::launcher
