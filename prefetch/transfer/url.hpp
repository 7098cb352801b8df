// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace slipway::prefetch::transfer {

/// An absolute http or https URL, taken apart by libcurl's own parser: what is checked is what is
/// fetched. Pure values; no network.
struct Url {
    std::string scheme; ///< "http" or "https"
    /// Lower case, without a dot at the end; IPv4 addresses as four numbers however they were
    /// written; an IPv6 literal without its brackets.
    std::string host;
    std::uint16_t port = 0;
    std::string target; ///< path and query, begins with '/'; no dot segments

    /// Refuses other schemes, user information (a password in a URL ends up in logs), blanks,
    /// control characters and characters outside ASCII. A fragment is dropped. The error is
    /// Code::source_protocol and does not repeat what stood before an '@'.
    static base::Result<Url> parse(std::string_view text);

    [[nodiscard]] std::string text() const;
    [[nodiscard]] std::string origin() const;    ///< "https://host:port", the port always given
    [[nodiscard]] std::string host_port() const; ///< as written in a URL; no default port
    [[nodiscard]] std::string authority() const; ///< "host:port", the port always given
    [[nodiscard]] bool ipv6() const noexcept { return host.find(':') != std::string::npos; }
    [[nodiscard]] bool plain_http() const noexcept { return scheme == "http"; }
};

bool same_origin(const Url& a, const Url& b) noexcept; ///< scheme, host and port are equal

/// localhost, *.localhost, 127.0.0.0/8 and ::1, by their text; nothing is resolved.
bool is_loopback_name(std::string_view host) noexcept;

/// Percent-encodes everything but unreserved characters (RFC 3986 section 2.3).
std::string encode_query(std::string_view text);

/// `location` of a redirect or a Link header seen from `base` (RFC 3986 section 5.2). Characters that
/// do not belong into a URL are percent-encoded, as browsers do; nothing else of it is changed.
base::Result<Url> resolve(const Url& base, std::string_view location);

/// Whether plain HTTP may be spoken to the host of a URL.
using PlainHttpRule = std::function<bool(const Url&)>;

/// Where a redirect leads and what may go there.
struct Hop {
    Url url;
    bool keep_authorization = false; ///< false once scheme, host or port differ
};

inline constexpr int max_redirects = 10;

/// Decides about one redirect: `hops` have been followed before it. Refused with
/// Code::source_protocol: an 11th hop, https to http, plain http to a host for which `plain_http_ok`
/// says no.
base::Result<Hop> follow_redirect(const Url& from, std::string_view location, int hops,
                                  const PlainHttpRule& plain_http_ok);

} // namespace slipway::prefetch::transfer
