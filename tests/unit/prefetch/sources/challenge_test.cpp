// SPDX-License-Identifier: Apache-2.0
#include "prefetch/sources/challenge.hpp"

#include <catch2/catch.hpp>

using namespace slipway;
using namespace slipway::prefetch::sources;
using namespace std::chrono_literals;

TEST_CASE("challenges are read in all their forms") {
    SECTION("Docker Hub") {
        const auto list = parse_challenges(
            {R"(Bearer realm="https://auth.docker.io/token",service="registry.docker.io",)"
             R"(scope="repository:samalba/my-app:pull,push")"});
        REQUIRE(list.size() == 1);
        CHECK(list[0].scheme == "bearer");
        CHECK(list[0].parameters.at("realm") == "https://auth.docker.io/token");
        CHECK(list[0].parameters.at("scope") == "repository:samalba/my-app:pull,push");
    }
    SECTION("several in one field, blanks, case, quotes inside") {
        const auto list = parse_challenges(
            {R"(  BASIC Realm = "a \"b\", c" , Negotiate, NTLM TlRMTVNTUAAB==, bearer realm=x,error=invalid_token)"});
        REQUIRE(list.size() == 4);
        CHECK(list[0].scheme == "basic");
        CHECK(list[0].parameters.at("realm") == "a \"b\", c");
        CHECK(list[1].scheme == "negotiate");
        CHECK(list[2].scheme == "ntlm");
        CHECK(list[2].parameters.empty());
        CHECK(list[3].parameters.at("realm") == "x");
        CHECK(list[3].parameters.at("error") == "invalid_token");
    }
    SECTION("several fields") {
        const auto list = parse_challenges({"Basic realm=\"r\"", "Bearer realm=\"https://t/\""});
        REQUIRE(list.size() == 2);
        CHECK(list[1].scheme == "bearer");
    }
    SECTION("nonsense") {
        CHECK(parse_challenges({""}).empty());
        CHECK(parse_challenges({",,, ,"}).empty());
        CHECK(parse_challenges({"=x"}).empty());
        CHECK(parse_challenges({"Bearer realm=\"unterminated"}).at(0).parameters.empty());
        CHECK(parse_challenges({"Bearer realm=\"x\\"}).at(0).parameters.empty());
        CHECK(parse_challenges({"Basic"}).at(0).scheme == "basic");
        std::string many;
        for (int i = 0; i < 100; ++i) {
            many += "Basic realm=\"x\", ";
        }
        CHECK(parse_challenges({many}).size() == 16);
    }
}

TEST_CASE("token requests") {
    TokenService service{"https://auth.example/token", "registry.example", {}};
    service.merge_scopes("repository:a/b:pull repository:c:pull");
    service.merge_scopes("repository:a/b:pull");
    CHECK(token_url(service, "me@x")->text() ==
          "https://auth.example/token?account=me%40x&service=registry.example&"
          "scope=repository%3Aa%2Fb%3Apull&scope=repository%3Ac%3Apull");
    service.realm = "https://auth.example/jwt/auth?x=y";
    CHECK(token_url(service, "")->target.rfind("/jwt/auth?x=y&service=", 0) == 0);
    service.realm = "file:///etc/passwd";
    CHECK_FALSE(token_url(service, ""));
    CHECK(token_form(service, base::Secret("a+b")).reveal() ==
          "grant_type=refresh_token&client_id=slipway&service=registry.example&"
          "scope=repository%3Aa%2Fb%3Apull%20repository%3Ac%3Apull&refresh_token=a%2Bb");
}

TEST_CASE("token answers") {
    CHECK(parse_token(R"({"token":"a","access_token":"b","expires_in":300})")->value.reveal() == "a");
    CHECK(parse_token(R"({"token":"a","expires_in":300})")->lifetime == 300s);
    CHECK(parse_token(R"({"access_token":"b"})")->value.reveal() == "b");
    CHECK(parse_token(R"({"access_token":"b"})")->lifetime == 60s);
    CHECK(parse_token(R"({"token":"a","expires_in":1})")->lifetime == 60s);
    CHECK(parse_token(R"({"token":"a","expires_in":99999999999})")->lifetime == 24h);
    CHECK(parse_token(R"({"token":"a","expires_in":-5})")->lifetime == 60s);
    for (const char* bad : {"", "{}", "[]", R"({"token":""})", R"({"token":5})",
                            R"({"token":"a\r\nHost: b"})", R"({"token":"a b"})"}) {
        INFO(bad);
        CHECK_FALSE(parse_token(bad));
    }
}
