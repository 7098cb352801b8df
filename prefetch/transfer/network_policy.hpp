// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/enum_table.hpp"
#include "base/environment.hpp"
#include "prefetch/transfer/url.hpp"

#include <set>
#include <string>
#include <string_view>

#include <sys/socket.h>

namespace slipway::prefetch::transfer {

/// What kind of place an address is, by the special-purpose registries of IANA.
enum class AddressKind { global, loopback, link_local, site_private, other };

/// Also looks into IPv6 addresses that carry an IPv4 address (mapped, compatible, NAT64, 6to4).
/// `other` is everything else that no registry on the Internet can have: multicast, unspecified,
/// reserved, benchmarking, a family that is neither IPv4 nor IPv6.
AddressKind classify(const sockaddr* address, socklen_t length) noexcept;

/// The same for an address as text; nothing is resolved. AddressKind::global for host names.
AddressKind classify_text(const std::string& host) noexcept;

/// For messages: "a loopback address".
inline constexpr base::EnumTable address_kinds = std::array{
    base::EnumRow{AddressKind::global, "public"},
    base::EnumRow{AddressKind::loopback, "loopback"},
    base::EnumRow{AddressKind::link_local, "link-local"},
    base::EnumRow{AddressKind::site_private, "private"},
    base::EnumRow{AddressKind::other, "special-purpose"},
};

/// Which addresses may be connected to. The service downloads what any user asks for, so it must
/// not reach into the site on their behalf: with `public_only` every address must be global,
/// except for the hosts that the site configured (base::canonical_registry_host()). The rule is
/// applied to the address of the socket at connect(2), so a name that resolves differently the
/// second time gains nothing. Behind a proxy the proxy itself may have any address, and targets are
/// judged by their text, because only the proxy resolves them.
struct AddressPolicy {
    bool public_only = false;
    std::set<std::string> trusted_hosts;

    [[nodiscard]] bool trusts(const Url& url) const;
    [[nodiscard]] bool allows(const Url& url, AddressKind kind) const;
};

/// Proxy for a URL from http_proxy, https_proxy, all_proxy and no_proxy (lower case is looked at
/// before upper case; no_proxy takes names with their subdomains, ".suffix", addresses, IPv4
/// networks like 10.0.0.0/8, an optional ":port", and "*"). Empty: connect directly. Loopback is
/// never asked of a proxy.
std::string proxy_for(const Url& url, const base::Environment& environment);

} // namespace slipway::prefetch::transfer
