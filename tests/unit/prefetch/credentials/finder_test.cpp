// SPDX-License-Identifier: Apache-2.0
#include "base/base64.hpp"
#include "base/path.hpp"
#include "base/temp_dir.hpp"
#include "prefetch/credentials/finder.hpp"

#include <catch2/catch.hpp>

#include <cstdio>
#include <map>

#include <fcntl.h>
#include <sys/stat.h>

using namespace slipway;
using namespace slipway::prefetch::credentials;
using base::Code;
using Role = CredentialFinder::Role;

namespace {

/// A home directory with files, an environment and a site file.
struct Home {
    base::TempDir dir = *base::TempDir::create("credentials");
    std::map<std::string, std::string> variables;
    config::Config config;
    CredentialFinder::Options options;

    std::string write(const std::string& name, std::string_view content, mode_t mode = 0600) {
        const auto path = base::join_path(dir.path(), name);
        REQUIRE(base::make_directories(std::string(base::dir_name(path)), 0700));
        const auto fd = base::open_file(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
        REQUIRE(fd);
        REQUIRE(base::write_all(fd->get(), content));
        return path;
    }
    base::Result<std::optional<Credential>> find(std::string_view host, std::string_view repository = "a/b",
                                                 Role role = Role::registry) {
        options.home = dir.path();
        options.environment = [this](const std::string& name) { return variables[name]; };
        CredentialFinder finder(options, config);
        return finder.find(host, repository, role);
    }
    std::string user_of(std::string_view host, std::string_view repository = "a/b",
                        Role role = Role::registry) {
        auto found = find(host, repository, role);
        INFO((found ? "" : found.error().one_line()));
        REQUIRE(found);
        return *found ? (*found)->username : std::string("nobody");
    }
};

std::string auths(std::string_view key, const std::string& user) {
    return "{\"auths\":{\"" + std::string(key) + "\":{\"auth\":\"" +
           base::base64_encode(user + ":pw") + "\"}}}";
}

} // namespace

TEST_CASE("credentials are looked for in order") {
    Home home;
    CHECK(home.user_of("r.example") == "nobody");
    home.config.registries["r.example"].username = "site";
    home.config.registries["r.example"].password_file = home.write("site-password", "pw\nrest");
    CHECK(home.user_of("r.example") == "site");
    CHECK_FALSE((*home.find("r.example"))->users_own());
    CHECK((*home.find("r.example"))->password.reveal() == "pw");
    home.write(".config/enroot/.credentials", "machine r.example login enroot password x");
    CHECK(home.user_of("r.example") == "enroot");
    home.write(".docker/config.json", auths("r.example", "docker"));
    CHECK(home.user_of("r.example") == "docker");
    CHECK((*home.find("r.example"))->users_own());
    home.write(".singularity/docker-config.json", auths("r.example", "singularity"));
    CHECK(home.user_of("r.example") == "singularity");
    home.variables["REGISTRY_AUTH_FILE"] = home.write("auth.json", auths("r.example", "variable"));
    CHECK(home.user_of("r.example") == "variable");
    home.options.auth_file = home.write("given.json", auths("r.example", "given"));
    CHECK(home.user_of("r.example") == "given");
    CHECK(home.user_of("other.example") == "nobody");
    home.variables["DOCKER_USERNAME"] = "env4";
    CHECK(home.user_of("r.example") == "given");
    home.variables["DOCKER_PASSWORD"] = "x";
    CHECK(home.user_of("r.example") == "env4");
    home.variables["SLIPWAY_DOCKER_USERNAME"] = "env1";
    CHECK_FALSE(home.find("r.example"));
    home.variables["SLIPWAY_DOCKER_PASSWORD"] = "x";
    CHECK(home.user_of("other.example") == "env1");
    home.options.given = Credential{"flag", base::Secret("x"), {}, CredentialOrigin::option};
    CHECK(home.user_of("r.example") == "flag");

    SECTION("what is not bound to a host goes to no mirror") {
        CHECK(home.user_of("r.example", "a/b", Role::mirror) == "given");
        CHECK(home.user_of("mirror.example", "a/b", Role::mirror) == "nobody");
    }
    SECTION("the service sees only what the site gave") {
        home.options.site_only = true;
        CHECK(home.user_of("r.example") == "site");
        CHECK(home.user_of("other.example") == "nobody");
    }
}

TEST_CASE("the most specific entry of an auth file wins") {
    Home home;
    home.write(".docker/config.json",
               "{\"auths\":{\"quay.io\":{\"username\":\"all\",\"password\":\"x\"},"
               "\"quay.io/team\":{\"username\":\"team\",\"password\":\"x\"},"
               "\"https://index.docker.io/v1/\":{\"username\":\"hub\",\"password\":\"x\"}}}");
    CHECK(home.user_of("quay.io", "other/x") == "all");
    CHECK(home.user_of("quay.io", "team/x/y") == "team");
    CHECK(home.user_of("quay.io", "teammate/x") == "all");
    CHECK(home.user_of("docker.io", "library/alpine") == "hub");
}

TEST_CASE("files that cannot be used are errors, files that are missing are not") {
    Home home;
    home.write(".docker/config.json", "{oops");
    auto found = home.find("r.example");
    REQUIRE_FALSE(found);
    CHECK(found.error().code == Code::credentials_invalid);
    CHECK(found.error().message.find(".docker/config.json") != std::string::npos);
    home.options.auth_file = base::join_path(home.dir.path(), "none.json");
    CHECK_FALSE(home.find("r.example"));
    home.options.auth_file.clear();
    home.write(".docker/config.json", "{}");
    home.config.registries["r.example"].username = "site";
    home.config.registries["r.example"].password_file = home.write("empty", "\n");
    CHECK_FALSE(home.find("r.example"));
}

TEST_CASE("credential helpers are asked over stdin") {
    Home home;
    home.variables["PATH"] = "relative:" + home.dir.path() + "/bin:/usr/bin:/bin";
    const auto log = home.dir.path() + "/log";
    home.write("bin/docker-credential-test",
               "#!/bin/sh\nread -r server\necho \"$# $1 $server\" >> " + log +
                   "\ncase $server in\n"
                   "good.example) echo '{\"ServerURL\":\"x\",\"Username\":\"helped\",\"Secret\":\"s\"}';;\n"
                   "https://index.docker.io/v1/) echo '{\"Username\":\"<token>\",\"Secret\":\"s\"}';;\n"
                   "broken.example) echo 'keyring is locked'; exit 2;;\n"
                   "leaky.example) echo '{\"Secret\":\"hunter2\"}'; exit 2;;\n"
                   "*) echo 'credentials not found in native keychain'; exit 1;;\nesac\n",
               0700);
    SECTION("credsStore") {
        home.write(".docker/config.json",
                   "{\"credsStore\":\"test\",\"auths\":{\"other.example\":{\"username\":\"file\","
                   "\"password\":\"x\"}}}");
        CHECK(home.user_of("good.example") == "helped");
        CHECK(home.user_of("other.example") == "file");
        CHECK(home.user_of("unknown.example") == "nobody");
        auto hub = home.find("docker.io");
        REQUIRE(hub);
        CHECK((*hub)->identity_token.reveal() == "s");
        auto broken = home.find("broken.example");
        REQUIRE_FALSE(broken);
        CHECK(broken.error().message.find("keyring is locked") != std::string::npos);
        auto leaky = home.find("leaky.example");
        REQUIRE_FALSE(leaky);
        CHECK(leaky.error().one_line().find("hunter2") == std::string::npos);
        const auto seen = base::read_file(log, 10'000);
        REQUIRE(seen);
        CHECK(seen->find("1 get good.example\n") == 0);
    }
    SECTION("credHelpers only for their registry") {
        home.write(".docker/config.json", "{\"credHelpers\":{\"good.example\":\"test\"}}");
        CHECK(home.user_of("good.example") == "helped");
        CHECK(home.user_of("else.example") == "nobody");
        CHECK(base::read_file(log, 10'000)->find("else") == std::string::npos);
    }
    SECTION("missing or misnamed helpers") {
        home.write(".docker/config.json", "{\"credsStore\":\"absent\"}");
        CHECK_FALSE(home.find("good.example"));
        home.write(".docker/config.json", "{\"credsStore\":\"../../bin/test\"}");
        CHECK_FALSE(home.find("good.example"));
    }
}
