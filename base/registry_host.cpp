// SPDX-License-Identifier: Apache-2.0
#include "base/registry_host.hpp"

#include "base/text.hpp"
#include "base/words.hpp"

#include <algorithm>
#include <array>

#include <arpa/inet.h>

namespace slipway::base {
namespace {

constexpr std::string_view default_port = ":443";
/// Docker Hub under its other names.
constexpr std::array<std::string_view, 3> docker_hub{"index.docker.io", "registry-1.docker.io",
                                                     "registry.hub.docker.com"};

/// "[::1]" out of any spelling of that address in brackets.
std::optional<std::string> canonical_ipv6(const std::string& host) {
    if (host.size() < 4 || host.front() != '[' || host.back() != ']') {
        return std::nullopt;
    }
    in6_addr address{};
    std::array<char, INET6_ADDRSTRLEN> text{};
    if (::inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), &address) != 1 ||
        ::inet_ntop(AF_INET6, &address, text.data(), text.size()) == nullptr) {
        return std::nullopt;
    }
    return "[" + std::string(text.data()) + "]";
}

/// A name in lower case, or an address in any form that getaddrinfo(3) takes for one.
std::optional<std::string> canonical_name(std::string host) {
    if (host.size() > 1 && host.back() == '.') {
        host.pop_back();
    }
    for (const auto label : split(host, '.')) {
        if (label.empty() || label.front() == '-' || label.back() == '-' ||
            label.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") !=
                std::string_view::npos) {
            return std::nullopt;
        }
    }
    in_addr address{};
    std::array<char, INET_ADDRSTRLEN> text{};
    if (::inet_aton(host.c_str(), &address) == 1 &&
        ::inet_ntop(AF_INET, &address, text.data(), text.size()) != nullptr) {
        return std::string(text.data());
    }
    return host;
}

} // namespace

bool names_registry_host(std::string_view first) noexcept {
    return first.find_first_of(".:") != std::string_view::npos || first == "localhost" ||
           std::any_of(first.begin(), first.end(), [](char c) { return is_upper(c); });
}

std::optional<std::string> canonical_registry_host(std::string_view written) {
    auto host_text = written;
    std::string port;
    const auto bracket = written.rfind(']');
    const auto colon = written.rfind(':');
    if (colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket)) {
        host_text = written.substr(0, colon);
        const auto number = parse_u64(written.substr(colon + 1), 65535);
        if (!number || *number == 0) {
            return std::nullopt;
        }
        port = ":" + std::to_string(*number);
    }
    const auto lowered = to_lower(host_text);
    auto host = lowered.starts_with('[') ? canonical_ipv6(lowered) : canonical_name(lowered);
    if (!host) {
        return std::nullopt;
    }
    if (port == default_port) {
        port.clear();
    }
    if (port.empty() &&
        std::find(docker_hub.begin(), docker_hub.end(), *host) != docker_hub.end()) {
        return std::string("docker.io");
    }
    if (port.empty() && !names_registry_host(*host)) {
        port = default_port;
    }
    return *host + port;
}

} // namespace slipway::base
