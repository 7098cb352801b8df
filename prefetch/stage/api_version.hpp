// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.hpp"

#include <string_view>

namespace slipway::prefetch::stage {

/// Version of the service's HTTP interface: what the header "Slipway-Api" carries in both
/// directions. Each side refuses another one, so that neither ever misreads the other. Within a
/// version the service may add fields and events, which clients pass over; anything else is a new
/// version.
inline constexpr std::string_view api_version = "1";

/// Code::service_protocol, whose hint says which of the two has to be updated.
base::Error version_mismatch(std::string_view client, std::string_view service);

/// Code::service_protocol for an answer that is none of this interface.
base::Error senseless_answer();

} // namespace slipway::prefetch::stage
