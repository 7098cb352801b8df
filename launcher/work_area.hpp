// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/join/request.hpp"

#include <string_view>

/// --workdir: a directory of the host whose parts stand in for what a contained container would have
/// in memory. tmp, var_tmp and home are shown with --contain, scratch/DIR for each --scratch DIR.
namespace slipway::launcher {

/// Absolute path of a part; "" without a work area.
std::string work_area_part(const join::Request& request, std::string_view part);

/// Makes the parts that the request will need, with the caller's rights. Those that are there are
/// kept when they are directories of the caller: in a work area such as /tmp others may have put
/// symlinks or directories of their own in the way. The work area itself must exist, and may be
/// anything that leads to a directory. Code::mount_source_missing. Nothing to do without one.
base::Result<void> prepare_work_area(const join::Request& request);

} // namespace slipway::launcher
