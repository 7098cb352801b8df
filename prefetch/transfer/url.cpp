// SPDX-License-Identifier: Apache-2.0
#include "prefetch/transfer/url.hpp"

#include "base/format.hpp"
#include "base/text.hpp"
#include "base/words.hpp"
#include "prefetch/transfer/url_handle.hpp"

#include <algorithm>
#include <array>

#include <arpa/inet.h>

namespace slipway::prefetch::transfer {
namespace {

using base::Code;
using base::fail;

bool is_url_char(char c) noexcept { return c > ' ' && c < 0x7f && c != '"' && c != '<' && c != '>'; }

void append_encoded(std::string& out, char c) {
    out += '%';
    const auto byte = static_cast<std::uint8_t>(c);
    out += base::to_upper(base::to_hex({&byte, 1}));
}

bool valid_name(std::string_view host) {
    return !host.empty() && host.size() <= 253 && host.front() != '-' && host.front() != '.' &&
           host.find("..") == std::string_view::npos &&
           std::all_of(host.begin(), host.end(),
                       [](char c) { return base::is_alphanumeric(c) || c == '-' || c == '.' || c == '_'; });
}

bool valid_ipv6(const std::string& host) {
    in6_addr address{};
    return ::inet_pton(AF_INET6, host.c_str(), &address) == 1;
}

base::Unexpected refused(std::string_view why) {
    return fail(Code::source_protocol, fmt::format("the URL cannot be used: {}", why));
}

/// What libcurl calls a part of the URL; "" when there is none.
std::string part_of(CURLU* handle, CURLUPart part, unsigned flags = 0) {
    char* text = nullptr;
    if (curl_url_get(handle, part, &text, flags) != CURLUE_OK || text == nullptr) {
        return {};
    }
    std::string copy(text);
    curl_free(text);
    return copy;
}

/// Scheme, host and so on as libcurl understands them, with the hosts that we refuse taken out.
base::Result<Url> read_parts(CURLU* handle) {
    Url url;
    url.scheme = part_of(handle, CURLUPART_SCHEME);
    if (url.scheme != "http" && url.scheme != "https") {
        return refused("it does not begin with http:// or https://");
    }
    url.host = base::to_lower(part_of(handle, CURLUPART_HOST));
    if (url.host.starts_with('[') && url.host.ends_with(']')) {
        url.host = url.host.substr(1, url.host.size() - 2);
        if (!valid_ipv6(url.host) || !part_of(handle, CURLUPART_ZONEID).empty()) {
            return refused("its address is none that another machine has");
        }
    } else {
        if (!valid_name(url.host)) {
            return refused(fmt::format("{} is not a host name", base::in_quotes(url.host)));
        }
        // "localhost." is localhost, whoever compares names.
        if (url.host.ends_with('.')) {
            url.host.pop_back();
        }
    }
    const auto port = base::parse_u64(part_of(handle, CURLUPART_PORT, CURLU_DEFAULT_PORT), 65535);
    if (!port || *port == 0) {
        return refused("its port is none");
    }
    url.port = static_cast<std::uint16_t>(*port);
    url.target = part_of(handle, CURLUPART_PATH);
    if (const auto query = part_of(handle, CURLUPART_QUERY); !query.empty()) {
        url.target += "?" + query;
    }
    return url;
}

constexpr unsigned parse_flags = CURLU_DISALLOW_USER;

base::Result<UrlHandle> parsed_handle(const std::string& text, unsigned flags) {
    UrlHandle handle(curl_url());
    if (!handle) {
        return fail(Code::system, "out of memory");
    }
    if (const auto code = curl_url_set(handle.get(), CURLUPART_URL, text.c_str(), flags);
        code != CURLUE_OK) {
        return refused(curl_url_strerror(code));
    }
    return handle;
}

} // namespace

base::Result<Url> Url::parse(std::string_view text) {
    if (text.size() > 8192) {
        return refused("it is longer than 8192 characters");
    }
    const auto mark = text.find("://");
    if (mark == std::string_view::npos) {
        return refused("it does not begin with http:// or https://");
    }
    text = text.substr(0, text.find('#'));
    if (!std::all_of(text.begin(), text.end(), is_url_char)) {
        return refused("it holds characters that URLs must not hold");
    }
    const auto behind = text.substr(std::min(text.size(), mark + 3));
    const auto authority = behind.substr(0, behind.find_first_of("/?"));
    if (authority.find('@') != std::string_view::npos) {
        return fail(Code::source_protocol, "the URL holds a user name",
                    "give credentials in ~/.docker/config.json or by SLIPWAY_DOCKER_USERNAME and "
                    "SLIPWAY_DOCKER_PASSWORD");
    }
    if (authority.empty()) {
        return refused("it names no host"); // libcurl would take the next word for it
    }
    TRY_ASSIGN(const auto handle, parsed_handle(std::string(text), parse_flags));
    return read_parts(handle.get());
}

base::Result<UrlHandle> url_handle(const Url& url) {
    TRY_ASSIGN(auto handle, parsed_handle(url.text(), parse_flags | CURLU_PATH_AS_IS));
    TRY_ASSIGN(const auto meant, read_parts(handle.get()));
    if (!same_origin(meant, url) || meant.target != url.target) {
        return refused("it can be understood in two ways");
    }
    return handle;
}

std::string Url::host_port() const {
    std::string out = ipv6() ? "[" + host + "]" : host;
    if (port != (plain_http() ? 80 : 443)) {
        out += ":" + std::to_string(port);
    }
    return out;
}

std::string Url::text() const { return scheme + "://" + host_port() + target; }

std::string Url::authority() const {
    return fmt::format("{}:{}", ipv6() ? "[" + host + "]" : host, port);
}

std::string Url::origin() const { return scheme + "://" + authority(); }

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
        if (base::is_alphanumeric(c) || c == '-' || c == '.' || c == '_' || c == '~') {
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
    clean.resize(std::min(clean.size(), clean.find('#')));
    if (clean.empty()) {
        return base; // only a fragment
    }
    TRY_ASSIGN(const auto handle, url_handle(base));
    if (const auto code = curl_url_set(handle.get(), CURLUPART_URL, clean.c_str(), parse_flags);
        code != CURLUE_OK) {
        return refused(curl_url_strerror(code));
    }
    TRY_ASSIGN(auto joined, read_parts(handle.get()));
    return Url::parse(joined.text());
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
