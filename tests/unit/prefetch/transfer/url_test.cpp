// SPDX-License-Identifier: Apache-2.0
#include "prefetch/transfer/url.hpp"

#include <catch2/catch.hpp>

using namespace slipway;
using namespace slipway::prefetch::transfer;
using slipway::base::Code;

namespace {

Url url(std::string_view text) {
    auto parsed = Url::parse(text);
    INFO(text << (parsed ? "" : ": " + parsed.error().one_line()));
    REQUIRE(parsed);
    return *parsed;
}

} // namespace

TEST_CASE("URLs are taken apart and put together") {
    const auto plain = url("HTTPS://Registry.Example:5000/v2/a?b=c#frag");
    CHECK(plain.scheme == "https");
    CHECK(plain.host == "registry.example");
    CHECK(plain.port == 5000);
    CHECK(plain.target == "/v2/a?b=c");
    CHECK(plain.text() == "https://registry.example:5000/v2/a?b=c");
    CHECK(url("http://h").text() == "http://h/");
    CHECK(url("http://h?x").target == "/?x");
    CHECK(url("https://h:443/").host_port() == "h");
    CHECK(url("http://[::1]:5000/x").host == "::1");
    CHECK(url("http://[::1]:5000/x").text() == "http://[::1]:5000/x");
    CHECK(url("http://h:80").origin() == "http://h:80");
    CHECK(url("http://h:/").port == 80);
}

TEST_CASE("URLs that mislead are refused") {
    for (const char* bad :
         {"", "h", "ftp://h/", "file:///etc/passwd", "http://", "http:///x", "http://h:0/",
          "http://h:65536/", "http://h:8a/", "http://user:secret@h/", "http://h@evil/", "http://a b/",
          "http://h/\r\nHost: x", "http://h/\x01", "http://[::1/", "http://[zz]/", "http://h\\x/",
          "http://-h/", "http://h/\xc3\xa9", "http://[::1]x/"}) {
        INFO(bad);
        const auto parsed = Url::parse(bad);
        CHECK_FALSE(parsed);
    }
    const auto leaked = Url::parse("http://user:secret@h/");
    CHECK(leaked.error().one_line().find("secret") == std::string::npos);
    CHECK_FALSE(Url::parse("http://h/" + std::string(9000, 'a')));
}

TEST_CASE("a host has one spelling, whoever compares it") {
    for (const char* text : {"http://127.1:5000/", "http://0x7f.0.0.1:5000/", "http://2130706433:5000",
                             "http://%31%32%37.0.0.1:5000/", "http://0177.0.0.1:05000/"}) {
        INFO(text);
        CHECK(url(text).host == "127.0.0.1");
        CHECK(url(text).port == 5000);
    }
    CHECK(url("https://LocalHost./x").host == "localhost");
    CHECK(url("https://r.example.:443/x").text() == "https://r.example/x");
    CHECK(url("http://[0:0::1]:5000/x").host == "::1");
    for (const char* bad : {"http://[fe80::1%25lo]/", "http://h%2fevil/", "http://h%00x/",
                            "http:///h/x", "http:h/x", "http://h..x/", "http://h../", "http://./"}) {
        INFO(bad);
        CHECK_FALSE(Url::parse(bad));
    }
}

TEST_CASE("loopback is recognised by its text") {
    for (const char* yes : {"localhost", "a.localhost", "127.0.0.1", "127.9.9.9", "::1"}) {
        CHECK(is_loopback_name(yes));
    }
    for (const char* no : {"localhost.example", "mylocalhost", "128.0.0.1", "127.0.0.1.nip.io", "::2"}) {
        CHECK_FALSE(is_loopback_name(no));
    }
}

TEST_CASE("query values are encoded") {
    CHECK(encode_query("repository:a/b:pull") == "repository%3Aa%2Fb%3Apull");
    CHECK(encode_query("a b&c=d~_-.") == "a%20b%26c%3Dd~_-.");
    CHECK(encode_query("\xff") == "%FF");
}

TEST_CASE("locations are resolved against the request") {
    const auto base = url("https://r.example:5000/v2/x/blobs/y?q=1");
    const auto at = [&](std::string_view location) {
        auto resolved = resolve(base, location);
        REQUIRE(resolved);
        return resolved->text();
    };
    CHECK(at("https://cdn.example/z?sig=a%2Fb") == "https://cdn.example/z?sig=a%2Fb");
    CHECK(at("//cdn.example/z") == "https://cdn.example/z");
    CHECK(at("/z?a:b") == "https://r.example:5000/z?a:b");
    CHECK(at("z") == "https://r.example:5000/v2/x/blobs/z");
    CHECK(at("z?t=1:2") == "https://r.example:5000/v2/x/blobs/z?t=1:2");
    // RFC 3986 section 5.2.4: what Nexus and old distributions send.
    CHECK(at("../../blobs/z") == "https://r.example:5000/v2/blobs/z");
    CHECK(at("../../../../z?a=../b") == "https://r.example:5000/z?a=../b");
    CHECK(at("./z/.") == "https://r.example:5000/v2/x/blobs/z/");
    CHECK(at("/a/./b/../c%2Fd") == "https://r.example:5000/a/c%2Fd");
    CHECK(at("https://cdn.example/a/../b?x=%2F%2f") == "https://cdn.example/b?x=%2F%2f");
    CHECK(resolve(base, "..//evil.example/x")->host == "r.example");
    CHECK(at("#top") == "https://r.example:5000/v2/x/blobs/y?q=1");
    CHECK(at("?n=2") == "https://r.example:5000/v2/x/blobs/y?n=2");
    CHECK(at("/with space/\xc3\xa9") == "https://r.example:5000/with%20space/%C3%A9");
    CHECK_FALSE(resolve(base, "  "));
    CHECK_FALSE(resolve(base, "ftp://x/"));
    CHECK_FALSE(resolve(base, "https://u:p@x/"));
}

TEST_CASE("redirects drop authorization and never lose TLS") {
    const auto https = url("https://r.example/a");
    const auto none = PlainHttpRule();
    const auto hop = [&](const char* location) { return follow_redirect(https, location, 0, none); };

    CHECK(hop("/b")->keep_authorization);
    CHECK(hop("https://r.example:443/b")->keep_authorization);
    CHECK_FALSE(hop("https://r.example:444/b")->keep_authorization);
    CHECK_FALSE(hop("https://s.example/b")->keep_authorization);
    CHECK_FALSE(hop("http://r.example/b"));
    CHECK(hop("http://r.example/b").error().code == Code::source_protocol);

    const auto http = url("http://r.example:5000/a");
    CHECK(follow_redirect(http, "/b", 9, none)->keep_authorization);
    CHECK_FALSE(follow_redirect(http, "/b", 10, none));
    CHECK_FALSE(follow_redirect(http, "https://r.example:5000/b", 0, none)->keep_authorization);
    CHECK_FALSE(follow_redirect(http, "http://s.example/b", 0, none));
    const PlainHttpRule only_s = [](const Url& to) { return to.host == "s.example"; };
    CHECK_FALSE(follow_redirect(http, "http://s.example/b", 0, only_s)->keep_authorization);
    CHECK_FALSE(follow_redirect(https, "http://s.example/b", 0, only_s));
}
