// SPDX-License-Identifier: Apache-2.0
#include "prefetch/transfer/url.hpp"

#include "base/format.hpp"
#include "base/text.hpp"

#include <algorithm>
#include <array>

#include <arpa/inet.h>

namespace slipway::prefetch::transfer {
namespace {

using base::Code;
using base::fail;

char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string lowered(std::string_view text) {
    std::string out(text);
    std::transform(out.begin(), out.end(), out.begin(), lower);
    return out;
}

bool is_alnum(char c) noexcept {
    return (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z');
}

bool is_url_char(char c) noexcept { return c > ' ' && c < 0x7f && c != '"' && c != '<' && c != '>'; }

void append_encoded(std::string& out, char c) {
    out += '%';
    const auto byte = static_cast<std::uint8_t>(c);
    for (const char digit : base::to_hex({&byte, 1})) {
        out += digit >= 'a' ? static_cast<char>(digit - 'a' + 'A') : digit;
    }
}

bool valid_name(std::string_view host) {
    return !host.empty() && host.size() <= 253 && host.front() != '-' && host.front() != '.' &&
           std::all_of(host.begin(), host.end(),
                       [](char c) { return is_alnum(c) || c == '-' || c == '.' || c == '_'; });
}

bool valid_ipv6(const std::string& host) {
    in6_addr address{};
    return ::inet_pton(AF_INET6, host.c_str(), &address) == 1;
}

/// Host and port from "host", "host:port", "[v6]" or "[v6]:port".
base::Result<void> take_authority(std::string_view authority, Url& url) {
    std::string_view port;
    if (!authority.empty() && authority.front() == '[') {
        const auto end = authority.find(']');
        if (end == std::string_view::npos) {
            return fail(Code::source_protocol, "the URL has an address without a closing ']'");
        }
        url.host = lowered(authority.substr(1, end - 1));
        port = authority.substr(end + 1);
        if (!valid_ipv6(url.host)) {
            return fail(Code::source_protocol,
                        fmt::format("{} is not an IPv6 address", base::in_quotes(url.host)));
        }
    } else {
        const auto colon = authority.find(':');
        url.host = lowered(authority.substr(0, colon));
        port = colon == std::string_view::npos ? std::string_view() : authority.substr(colon);
        if (!valid_name(url.host)) {
            return fail(Code::source_protocol,
                        fmt::format("{} is not a host name", base::in_quotes(url.host)));
        }
    }
    url.port = url.plain_http() ? 80 : 443;
    if (port.empty() || port == ":") {
        return {};
    }
    auto number = base::parse_u64(port.substr(1), 65535);
    if (port.front() != ':' || !number || *number == 0) {
        return fail(Code::source_protocol,
                    fmt::format("{} is not a port", base::in_quotes(port.substr(1))));
    }
    url.port = static_cast<std::uint16_t>(*number);
    return {};
}

} // namespace

base::Result<Url> Url::parse(std::string_view text) {
    if (text.size() > 8192) {
        return fail(Code::source_protocol, "the URL is longer than 8192 characters");
    }
    const auto mark = text.find("://");
    Url url;
    url.scheme = mark == std::string_view::npos ? std::string() : lowered(text.substr(0, mark));
    if (url.scheme != "http" && url.scheme != "https") {
        return fail(Code::source_protocol, "the URL does not begin with http:// or https://");
    }
    text.remove_prefix(mark + 3);
    text = text.substr(0, text.find('#'));
    const auto slash = text.find_first_of("/?");
    const auto authority = text.substr(0, slash);
    if (authority.find('@') != std::string_view::npos) {
        return fail(Code::source_protocol, "the URL holds a user name",
                    "give credentials in ~/.docker/config.json or by SLIPWAY_DOCKER_USERNAME and "
                    "SLIPWAY_DOCKER_PASSWORD");
    }
    if (!std::all_of(text.begin(), text.end(), is_url_char)) {
        return fail(Code::source_protocol, "the URL holds characters that URLs must not hold");
    }
    TRY(take_authority(authority, url));
    url.target = slash == std::string_view::npos ? "/" : std::string(text.substr(slash));
    if (url.target.front() == '?') {
        url.target.insert(0, "/");
    }
    return url;
}

std::string Url::host_port() const {
    std::string out = ipv6() ? "[" + host + "]" : host;
    if (port != (plain_http() ? 80 : 443)) {
        out += ":" + std::to_string(port);
    }
    return out;
}

std::string Url::text() const { return scheme + "://" + host_port() + target; }

std::string Url::origin() const {
    return fmt::format("{}://{}:{}", scheme, ipv6() ? "[" + host + "]" : host, port);
}

bool same_origin(const Url& a, const Url& b) noexcept {
    return a.scheme == b.scheme && a.host == b.host && a.port == b.port;
}

bool is_loopback_name(std::string_view host) noexcept {
    constexpr std::string_view suffix = ".localhost";
    if (host == "localhost" || host == "::1" ||
        (host.size() > suffix.size() && host.substr(host.size() - suffix.size()) == suffix)) {
        return true;
    }
    in_addr address{};
    std::array<char, INET_ADDRSTRLEN> text{};
    if (host.size() >= text.size()) {
        return false;
    }
    std::copy(host.begin(), host.end(), text.begin());
    return ::inet_pton(AF_INET, text.data(), &address) == 1 && (ntohl(address.s_addr) >> 24) == 127;
}

std::string encode_query(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    for (const char c : text) {
        if (is_alnum(c) || c == '-' || c == '.' || c == '_' || c == '~') {
            out += c;
        } else {
            append_encoded(out, c);
        }
    }
    return out;
}

base::Result<Url> resolve(const Url& base, std::string_view location) {
    std::string clean;
    for (const char c : base::trim(location)) {
        if (is_url_char(c)) {
            clean += c;
        } else {
            append_encoded(clean, c);
        }
    }
    if (clean.empty()) {
        return fail(Code::source_protocol, "the server redirects to nowhere");
    }
    if (clean.rfind("//", 0) == 0) {
        return Url::parse(base.scheme + ":" + clean);
    }
    const auto stop = clean.find_first_of(":/?#");
    if (stop != std::string::npos && clean[stop] == ':') {
        return Url::parse(clean);
    }
    const std::string origin = base.origin();
    if (clean.front() == '/') {
        return Url::parse(origin + clean);
    }
    const std::string path = base.target.substr(0, base.target.find('?'));
    if (clean.front() == '?' || clean.front() == '#') {
        return Url::parse(origin + path + clean);
    }
    return Url::parse(origin + path.substr(0, path.rfind('/') + 1) + clean);
}

base::Result<Hop> follow_redirect(const Url& from, std::string_view location, int hops,
                                  const PlainHttpRule& plain_http_ok) {
    if (hops >= max_redirects) {
        return fail(Code::source_protocol,
                    fmt::format("{} redirects more than {} times", from.host_port(), max_redirects));
    }
    auto to = resolve(from, location);
    if (!to) {
        return base::Unexpected(std::move(to).error().context(
            fmt::format("{} sends a redirect that cannot be followed", from.host_port())));
    }
    if (to->plain_http() && !from.plain_http()) {
        return fail(Code::source_protocol,
                    fmt::format("{} redirects from https to plain http at {}", from.host_port(),
                                to->host_port()),
                    "the server's storage must be reached by https");
    }
    if (to->plain_http() && !same_origin(from, *to) && (!plain_http_ok || !plain_http_ok(*to))) {
        return fail(Code::source_protocol,
                    fmt::format("{} redirects to plain http at {}, which is not configured for it",
                                from.host_port(), to->host_port()),
                    fmt::format("the administrator can allow it with `registries: {{\"{}\": "
                                "{{insecure: true}}}}`",
                                to->host_port()));
    }
    return Hop{*to, same_origin(from, *to)};
}

} // namespace slipway::prefetch::transfer
