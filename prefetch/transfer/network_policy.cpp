// SPDX-License-Identifier: Apache-2.0
#include "prefetch/transfer/network_policy.hpp"

#include "base/registry_host.hpp"
#include "base/text.hpp"
#include "base/words.hpp"

#include <array>
#include <cstring>
#include <optional>

#include <arpa/inet.h>
#include <netinet/in.h>

namespace slipway::prefetch::transfer {
namespace {

struct Range4 {
    std::uint32_t network;
    int bits;
    AddressKind kind;
};

constexpr std::uint32_t ip4(unsigned a, unsigned b, unsigned c, unsigned d) {
    return a << 24 | b << 16 | c << 8 | d;
}

constexpr bool in_network(std::uint32_t address, std::uint32_t network, int bits) {
    return bits == 0 || (address ^ network) >> (32 - bits) == 0;
}

// IANA IPv4 Special-Purpose Address Registry; ranges that cannot be a public server.
constexpr std::array<Range4, 14> special4{{
    {ip4(0, 0, 0, 0), 8, AddressKind::other},
    {ip4(10, 0, 0, 0), 8, AddressKind::site_private},
    {ip4(100, 64, 0, 0), 10, AddressKind::site_private}, // carrier-grade NAT
    {ip4(127, 0, 0, 0), 8, AddressKind::loopback},
    {ip4(169, 254, 0, 0), 16, AddressKind::link_local}, // cloud metadata services live here
    {ip4(172, 16, 0, 0), 12, AddressKind::site_private},
    {ip4(192, 0, 0, 0), 24, AddressKind::other},
    {ip4(192, 0, 2, 0), 24, AddressKind::other},
    {ip4(192, 168, 0, 0), 16, AddressKind::site_private},
    {ip4(198, 18, 0, 0), 15, AddressKind::other},
    {ip4(198, 51, 100, 0), 24, AddressKind::other},
    {ip4(203, 0, 113, 0), 24, AddressKind::other},
    {ip4(224, 0, 0, 0), 4, AddressKind::other}, // multicast
    {ip4(240, 0, 0, 0), 4, AddressKind::other}, // reserved, broadcast
}};

AddressKind classify4(std::uint32_t address) noexcept {
    for (const auto& range : special4) {
        if (in_network(address, range.network, range.bits)) {
            return range.kind;
        }
    }
    return AddressKind::global;
}

std::uint32_t word(const std::uint8_t* bytes) noexcept {
    return ip4(bytes[0], bytes[1], bytes[2], bytes[3]);
}

AddressKind classify6(const in6_addr& address) noexcept {
    const std::uint8_t* b = address.s6_addr;
    const auto begins = [b](std::initializer_list<std::uint8_t> prefix) {
        return std::memcmp(b, prefix.begin(), prefix.size()) == 0;
    };
    constexpr std::array<std::uint8_t, 12> zeros{};
    if (IN6_IS_ADDR_LOOPBACK(&address)) {
        return AddressKind::loopback;
    }
    if (IN6_IS_ADDR_UNSPECIFIED(&address)) {
        return AddressKind::other;
    }
    if (IN6_IS_ADDR_V4MAPPED(&address) || std::memcmp(b, zeros.data(), 12) == 0 ||
        begins({0x00, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0})) {
        return classify4(word(b + 12));
    }
    if (begins({0x20, 0x02})) {
        return classify4(word(b + 2)); // 6to4
    }
    if (begins({0x00, 0x64, 0xff, 0x9b, 0x00, 0x01})) {
        return AddressKind::site_private; // local NAT64
    }
    if (b[0] == 0xfe && (b[1] & 0xc0) == 0x80) {
        return AddressKind::link_local;
    }
    if ((b[0] & 0xfe) == 0xfc || (b[0] == 0xfe && (b[1] & 0xc0) == 0xc0)) {
        return AddressKind::site_private;
    }
    const bool documentation = begins({0x20, 0x01, 0x0d, 0xb8}) || begins({0x3f, 0xff});
    const bool teredo = begins({0x20, 0x01, 0x00, 0x00});
    return (b[0] & 0xe0) == 0x20 && !documentation && !teredo ? AddressKind::global
                                                              : AddressKind::other;
}

std::optional<std::uint32_t> literal4(const std::string& text) {
    in_addr address{};
    if (::inet_pton(AF_INET, text.c_str(), &address) != 1) {
        return std::nullopt;
    }
    return ntohl(address.s_addr);
}

/// "10.0.0.0/8" in a no_proxy list.
bool matches_network(std::string_view entry, const std::string& host) {
    const auto slash = entry.find('/');
    const auto address = literal4(host);
    if (slash == std::string_view::npos || !address) {
        return false;
    }
    const auto network = literal4(std::string(entry.substr(0, slash)));
    const auto bits = base::parse_u64(entry.substr(slash + 1), 32);
    return network && bits && in_network(*address, *network, static_cast<int>(*bits));
}

bool matches_name(std::string_view entry, std::string_view host) {
    if (!entry.empty() && entry.front() == '.') {
        entry.remove_prefix(1);
    }
    if (entry.empty() || host.size() < entry.size()) {
        return false;
    }
    const auto tail = host.substr(host.size() - entry.size());
    return base::equal_ignoring_case(tail, entry) &&
           (host.size() == entry.size() || host[host.size() - entry.size() - 1] == '.');
}

bool excluded(std::string_view no_proxy, const Url& url) {
    for (const auto raw : base::split(no_proxy, ',')) {
        auto entry = base::trim(raw);
        if (entry == "*") {
            return true;
        }
        const auto colon = entry.rfind(':');
        if (colon != std::string_view::npos && entry.find(':') == colon) {
            if (entry.substr(colon + 1) != std::to_string(url.port)) {
                continue;
            }
            entry = entry.substr(0, colon);
        }
        if (matches_name(entry, url.host) || matches_network(entry, url.host)) {
            return true;
        }
    }
    return false;
}

std::string either_case(const base::Environment& environment, const std::string& name) {
    auto value = environment(name);
    if (value.empty()) {
        value = environment(base::to_upper(name));
    }
    return value;
}

} // namespace

AddressKind classify(const sockaddr* address, socklen_t length) noexcept {
    if (address->sa_family == AF_INET && length >= sizeof(sockaddr_in)) {
        sockaddr_in in{};
        std::memcpy(&in, address, sizeof in);
        return classify4(ntohl(in.sin_addr.s_addr));
    }
    if (address->sa_family == AF_INET6 && length >= sizeof(sockaddr_in6)) {
        sockaddr_in6 in{};
        std::memcpy(&in, address, sizeof in);
        return classify6(in.sin6_addr);
    }
    return AddressKind::other;
}

AddressKind classify_text(const std::string& host) noexcept {
    if (is_loopback_name(host)) {
        return AddressKind::loopback;
    }
    if (const auto address = literal4(host)) {
        return classify4(*address);
    }
    in6_addr address{};
    if (::inet_pton(AF_INET6, host.c_str(), &address) == 1) {
        return classify6(address);
    }
    // "2130706433" and "0x7f.1" are addresses to getaddrinfo(3) and no names of the Internet.
    in_addr loose{};
    if (::inet_aton(host.c_str(), &loose) == 1) {
        return classify4(ntohl(loose.s_addr));
    }
    return AddressKind::global;
}

bool AddressPolicy::trusts(const Url& url) const {
    const auto named = [&](const std::string& host) {
        const auto canonical = base::canonical_registry_host(host);
        return canonical && trusted_hosts.count(*canonical) != 0;
    };
    return named(url.host_port()) || named(url.authority());
}

bool AddressPolicy::allows(const Url& url, AddressKind kind) const {
    return !public_only || kind == AddressKind::global || trusts(url);
}

std::string proxy_for(const Url& url, const base::Environment& environment) {
    if (is_loopback_name(url.host) || excluded(either_case(environment, "no_proxy"), url)) {
        return {};
    }
    auto proxy = either_case(environment, url.scheme + "_proxy");
    return proxy.empty() ? either_case(environment, "all_proxy") : proxy;
}

} // namespace slipway::prefetch::transfer
