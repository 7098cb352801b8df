// SPDX-License-Identifier: Apache-2.0
#include "prefetch/transfer/network_policy.hpp"

#include <catch2/catch.hpp>

#include <map>

using namespace slipway;
using namespace slipway::prefetch::transfer;

namespace {

base::Environment variables(std::map<std::string, std::string> set) {
    return [set = std::move(set)](const std::string& name) {
        const auto found = set.find(name);
        return found == set.end() ? std::string() : found->second;
    };
}

std::string proxy(const char* url, std::map<std::string, std::string> set) {
    return proxy_for(*Url::parse(url), variables(std::move(set)));
}

} // namespace

TEST_CASE("addresses are classified, also in disguise") {
    const std::map<std::string, AddressKind> table{
        {"8.8.8.8", AddressKind::global},
        {"registry.example", AddressKind::global},
        {"127.0.0.1", AddressKind::loopback},
        {"127.1", AddressKind::loopback},
        {"2130706433", AddressKind::loopback},
        {"0x7f000001", AddressKind::loopback},
        {"017700000001", AddressKind::loopback},
        {"localhost", AddressKind::loopback},
        {"10.1.2.3", AddressKind::site_private},
        {"172.16.0.1", AddressKind::site_private},
        {"172.32.0.1", AddressKind::global},
        {"192.168.1.1", AddressKind::site_private},
        {"100.64.0.1", AddressKind::site_private},
        {"169.254.169.254", AddressKind::link_local},
        {"0.0.0.0", AddressKind::other},
        {"224.0.0.1", AddressKind::other},
        {"255.255.255.255", AddressKind::other},
        {"::1", AddressKind::loopback},
        {"::", AddressKind::other},
        {"fe80::1", AddressKind::link_local},
        {"fd00::1", AddressKind::site_private},
        {"fec0::1", AddressKind::site_private},
        {"ff02::1", AddressKind::other},
        {"::ffff:127.0.0.1", AddressKind::loopback},
        {"::ffff:8.8.8.8", AddressKind::global},
        {"64:ff9b::a9fe:a9fe", AddressKind::link_local},
        {"2002:7f00:1::", AddressKind::loopback},
        {"2001:db8::1", AddressKind::other},
        {"2001:4860:4860::8888", AddressKind::global},
        {"2001::1", AddressKind::other},
    };
    for (const auto& [text, kind] : table) {
        INFO(text);
        CHECK(address_kinds.name(classify_text(text)) == address_kinds.name(kind));
    }
    sockaddr local{};
    local.sa_family = AF_UNIX;
    CHECK(classify(&local, sizeof local) == AddressKind::other);
}

TEST_CASE("only configured hosts may be private") {
    AddressPolicy policy{true, {"mirror.site:5000", "registry.site"}};
    const auto allows = [&](const char* url) {
        return policy.allows(*Url::parse(url), AddressKind::site_private);
    };
    CHECK(allows("http://mirror.site:5000/"));
    CHECK_FALSE(allows("http://mirror.site:5001/"));
    CHECK(allows("https://registry.site/"));
    CHECK(allows("http://registry.site/"));
    CHECK_FALSE(allows("https://registry.site:22/"));
    CHECK_FALSE(allows("https://other.site/"));
    CHECK(policy.allows(*Url::parse("https://other.site/"), AddressKind::global));
    policy.public_only = false;
    CHECK(allows("https://other.site/"));
}

TEST_CASE("proxies come from the environment") {
    CHECK(proxy("https://r.example/", {{"https_proxy", "http://p:1"}}) == "http://p:1");
    CHECK(proxy("https://r.example/", {{"HTTPS_PROXY", "http://p:1"}}) == "http://p:1");
    CHECK(proxy("https://r.example/", {{"http_proxy", "http://p:1"}}).empty());
    CHECK(proxy("http://r.example/", {{"all_proxy", "http://p:1"}}) == "http://p:1");
    CHECK(proxy("http://127.0.0.1:5000/", {{"http_proxy", "http://p:1"}}).empty());
    const auto without = [](const char* url, const char* list) {
        return proxy(url, {{"https_proxy", "P"}, {"no_proxy", list}}).empty();
    };
    CHECK(without("https://r.site.example/", "other, site.example"));
    CHECK(without("https://r.site.example/", ".site.example"));
    CHECK(without("https://site.example/", "SITE.example"));
    CHECK_FALSE(without("https://mysite.example/", "site.example"));
    CHECK(without("https://10.1.2.3/", "10.0.0.0/8"));
    CHECK_FALSE(without("https://11.1.2.3/", "10.0.0.0/8"));
    CHECK(without("https://r.example:5000/", "r.example:5000"));
    CHECK_FALSE(without("https://r.example/", "r.example:5000"));
    CHECK(without("https://r.example/", "*"));
    CHECK_FALSE(without("https://r.example/", ",,"));
}
