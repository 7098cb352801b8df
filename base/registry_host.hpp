// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace slipway::base {

/// The one spelling of a registry's "host[:port]", for references, for the keys of the site file and
/// for whoever compares the two. Nothing for a text that is no host with an optional port (1 to
/// 65535). Pure: no name is resolved.
///
/// Lower case; no dot at the end; ports without leading zeros; no ":443"; addresses as
/// inet_ntop(3) writes them, also those that only inet_aton(3) reads ("127.1"); docker.io for all
/// names of Docker Hub. A host that a reference would not know for one ("myhost", without a dot or a
/// port) keeps its port, also 443: "myhost:443".
std::optional<std::string> canonical_registry_host(std::string_view written);

/// Whether the first component of a reference's path names a registry (the rule of Docker and
/// containers/image): it has a dot or a colon, upper case, or is "localhost".
bool names_registry_host(std::string_view first) noexcept;

} // namespace slipway::base
