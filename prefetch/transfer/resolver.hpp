// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace slipway::prefetch::transfer {

/// Whether a name that could not be resolved just now may be resolved later: false when the resolver says that
/// there is no such name. Asks it once more, because libcurl does not hand on what it said; may block for as
/// long as a resolver's time-outs.
bool may_resolve_later(const std::string& host);

} // namespace slipway::prefetch::transfer
