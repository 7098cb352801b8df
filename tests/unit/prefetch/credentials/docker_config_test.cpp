// SPDX-License-Identifier: Apache-2.0
#include "base/base64.hpp"
#include "prefetch/credentials/docker_config.hpp"

#include <catch2/catch.hpp>

using namespace slipway;
using namespace slipway::prefetch::credentials;
using slipway::base::Code;

namespace {

std::string encoded(std::string_view text) { return base::base64_encode(text); }

} // namespace

TEST_CASE("base64 both ways") {
    CHECK(encoded("") == "");
    CHECK(encoded("f") == "Zg==");
    CHECK(encoded("fo") == "Zm8=");
    CHECK(encoded("foo") == "Zm9v");
    CHECK(encoded("\xff\xfe\xfd") == "//79");
    for (const std::string text : {"", "a", "ab", "abc", "abcd", "user:pa:ss"}) {
        CHECK(base::base64_decode(encoded(text)) == text);
    }
    CHECK(base::base64_decode("Zg") == "f");
    CHECK_FALSE(base::base64_decode("Z"));
    CHECK_FALSE(base::base64_decode("Zm9v Zm9v"));
    CHECK_FALSE(base::base64_decode("Zm-_"));
}

TEST_CASE("secrets are wiped and do not print") {
    base::Secret secret("hunter2");
    const base::Secret copy = secret;
    CHECK(copy.reveal() == "hunter2");
    secret = base::Secret();
    CHECK(secret.empty());
    CHECK(copy == base::Secret("hunter2"));
    CHECK(base::Secret::join({"a", "", "b"}).reveal() == "ab");
    std::string scratch = "password";
    base::wipe(scratch);
    CHECK(scratch.empty());
    Credential credential{"me", base::Secret("p:w"), {}, CredentialOrigin::option};
    CHECK(basic_authorization(credential).reveal() == "Basic bWU6cDp3");
}

TEST_CASE("registries have one key however they are written") {
    CHECK(credential_key("https://index.docker.io/v1/") == "docker.io");
    CHECK(credential_key("registry-1.docker.io") == "docker.io");
    CHECK(credential_key("docker.io") == "docker.io");
    CHECK(credential_key("https://Registry.Example:5000/v2/") == "registry.example:5000");
    CHECK(credential_key("quay.io/Org/repo/") == "quay.io/Org/repo");
    CHECK(credential_key("http://localhost:5000") == "localhost:5000");
    CHECK(credential_keys("quay.io", "a/b/c") ==
          std::vector<std::string>{"quay.io/a/b/c", "quay.io/a/b", "quay.io/a", "quay.io"});
    CHECK(credential_keys("registry-1.docker.io", "").back() == "docker.io");
}

TEST_CASE("docker's config.json") {
    const auto text = R"({
        "auths": {
            "https://index.docker.io/v1/": {"auth": ")" + encoded("me:pa:ss") + R"("},
            "ghcr.io": {"auth": ")" + encoded(std::string("u:p\0\0", 5)) + R"(", "identitytoken": "idt"},
            "plain.example": {"username": "n", "password": "w"},
            "az.example": {"username": "<token>", "password": "tok"},
            "by-helper.example": {},
            "quay.io/team": {"auth": ")" + encoded("robot:x") + R"("}
        },
        "credHelpers": {"gcr.io": "gcloud", "bad": 7},
        "credsStore": "secretservice",
        "HttpHeaders": {"User-Agent": "x"}
    })";
    const auto config = parse_docker_config(text);
    REQUIRE(config);
    CHECK(config->auths.size() == 5);
    CHECK(config->auths.at("docker.io").username == "me");
    CHECK(config->auths.at("docker.io").password.reveal() == "pa:ss");
    CHECK(config->auths.at("ghcr.io").password.reveal() == "p");
    CHECK(config->auths.at("ghcr.io").identity_token.reveal() == "idt");
    CHECK(config->auths.at("plain.example").password.reveal() == "w");
    CHECK(config->auths.at("az.example").identity_token.reveal() == "tok");
    CHECK(config->auths.at("az.example").password.empty());
    CHECK(config->auths.count("quay.io/team") == 1);
    CHECK(config->helpers == std::map<std::string, std::string>{{"gcr.io", "gcloud"}});
    CHECK(config->store == "secretservice");
}

TEST_CASE("broken files are errors that show no secrets") {
    for (const std::string bad : {"", "[]", "{", "null", "{\"auths\":{\"x\":{\"auth\":\"c2VjcmV0\"}}}",
                                  "{\"auths\":{\"x\":{\"auth\":\"not base64!\"}}}"}) {
        INFO(bad);
        const auto config = parse_docker_config(bad);
        REQUIRE_FALSE(config);
        CHECK(config.error().code == Code::credentials_invalid);
        CHECK(config.error().one_line().find("secret") == std::string::npos);
        CHECK(config.error().one_line().find("c2Vj") == std::string::npos);
    }
    CHECK(parse_docker_config("{}")->auths.empty());
    CHECK(parse_docker_config("{\"auths\":[]}")->auths.empty());
    CHECK_FALSE(parse_docker_config(std::string(2 << 20, ' ')));
    std::string deep;
    for (int i = 0; i < 5000; ++i) {
        deep += "{\"a\":";
    }
    CHECK_FALSE(parse_docker_config(deep));
}

TEST_CASE("answers of credential helpers") {
    const auto good = parse_helper_answer(R"({"ServerURL":"x","Username":"u","Secret":"s"})");
    REQUIRE(good);
    CHECK(good->username == "u");
    CHECK(good->password.reveal() == "s");
    CHECK(good->origin == CredentialOrigin::helper);
    CHECK(parse_helper_answer(R"({"Username":"<token>","Secret":"s"})")->identity_token.reveal() == "s");
    CHECK_FALSE(parse_helper_answer("credentials not found"));
    CHECK_FALSE(parse_helper_answer(R"({"Username":"u"})"));
}

TEST_CASE("enroot's credentials") {
    const auto netrc = parse_netrc("# comment\nmachine nvcr.io login $oauthtoken password tok\n"
                                   "machine auth.docker.io\n\tlogin me\n\tpassword pw\r\n"
                                   "machine vault.example login me password $(vault read x)\n"
                                   "machine nvcr.io login other password later\nmachine");
    CHECK(netrc.machines.size() == 2);
    CHECK(netrc.machines.at("nvcr.io").username == "$oauthtoken");
    CHECK(netrc.machines.at("nvcr.io").password.reveal() == "tok");
    CHECK(netrc.machines.at("auth.docker.io").password.reveal() == "pw");
    CHECK(netrc.skipped == 1);
}
