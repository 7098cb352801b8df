// SPDX-License-Identifier: Apache-2.0
#include "base/fd.hpp"
#include "base/format.hpp"
#include "base/temp_dir.hpp"
#include "cli/env_file.hpp"

#include <catch2/catch.hpp>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

using namespace slipway;
using namespace slipway::cli;

namespace {

Variables good(std::string_view argument) {
    auto result = parse_env_argument(argument);
    if (!result) {
        FAIL(result.error().one_line());
    }
    return std::move(*result);
}

std::string value_of(const Variables& variables, std::string_view name) {
    const auto found = std::find_if(variables.begin(), variables.end(),
                                    [&](const auto& pair) { return pair.first == name; });
    return found == variables.end() ? "(absent)" : found->second;
}

Variables run_script(std::string_view text, const std::vector<std::string>& environment) {
    const auto directory = base::TempDir::create("slipway-env-test");
    REQUIRE(directory);
    const auto path = directory->path() + "/vars.sh";
    const auto file = base::open_file(path, O_WRONLY | O_CREAT, 0600);
    REQUIRE(file);
    REQUIRE(base::write_all(file->get(), text));
    auto result = read_env_file(path, environment);
    if (!result) {
        FAIL(result.error().one_line());
    }
    return std::move(*result);
}

} // namespace

TEST_CASE("--env: one = takes the whole argument, more make a list") {
    CHECK(good("X=y,z") == Variables{{"X", "y,z"}});
    CHECK(good("X=\"q\"") == Variables{{"X", "\"q"}}); // quotes at the ends of the argument go
    CHECK(good("\"X=q\"") == Variables{{"X", "q"}});
    CHECK(good("X=") == Variables{{"X", ""}});
    CHECK(good("A=1,B=2") == Variables{{"A", "1"}, {"B", "2"}});
    CHECK(good("A=1,\"B=2,3\"") == Variables{{"A", "1"}, {"B", "2,3"}});
    CHECK(good("A=1,\"B=a\"\"b\"") == Variables{{"A", "1"}, {"B", "a\"b"}});
    CHECK(good("A=b=c") == Variables{{"A", "b=c"}});
    for (const auto* bad : {"", "X", "=x", "A=1,B=2,z", "1A=x", "A-B=x", "A=1,\"B=2"}) {
        INFO(bad);
        const auto result = parse_env_argument(bad);
        REQUIRE_FALSE(result);
        CHECK(result.error().code == base::Code::usage);
        CHECK_FALSE(result.error().hint.empty());
    }
    CHECK(parse_env_argument("A=1,B=2,z").error().one_line() ==
          "usage: 'z' in 'A=1,B=2,z' is not NAME=VALUE (hint: give each variable its own --env "
          "when values hold commas and =)");
}

TEST_CASE("--env-file is a shell script on the host") {
    const auto variables = run_script("A=1\n"
                                      "B=\"$A x\"\n"
                                      "C=$(echo cc)\n"
                                      "D=$HOME\n"
                                      "export SAME=old; local_list='a\nb'\n"
                                      "echo noise\n"
                                      "# E=5\n"
                                      "f() { :; }\n",
                                      {"PATH=/usr/bin:/bin", "HOME=/home/x", "SAME=old", "KEPT=k"});
    CHECK(value_of(variables, "A") == "1");
    CHECK(value_of(variables, "B") == "1 x");
    CHECK(value_of(variables, "C") == "cc");
    CHECK(value_of(variables, "D") == "/home/x");
    CHECK(value_of(variables, "SAME") == "old"); // set again to what it was
    CHECK(value_of(variables, "local_list") == "a\nb");
    for (const auto* name : {"KEPT", "E", "PATH", "HOME", "PWD", "OLDPWD", "SHLVL", "_", "IFS"}) {
        INFO(name);
        CHECK(value_of(variables, name) == "(absent)");
    }
}

TEST_CASE("an --env-file knows who runs it, also in a shell that has no UID") {
    const auto variables = run_script("WHO=$UID/$EUID/$GID\n", {"PATH=/usr/bin:/bin"});
    CHECK(value_of(variables, "WHO") ==
          fmt::format("{}/{}/{}", ::getuid(), ::geteuid(), ::getgid()));
    CHECK(value_of(variables, "UID") == "(absent)");
}

TEST_CASE("an --env-file that fails is an error") {
    CHECK_FALSE(read_env_file("/nonexistent", {}));
    const auto directory = base::TempDir::create("slipway-env-test");
    REQUIRE(directory);
    const auto path = directory->path() + "/bad.sh";
    const auto file = base::open_file(path, O_WRONLY | O_CREAT, 0600);
    REQUIRE(file);
    REQUIRE(base::write_all(file->get(), "A=1\nexit 3\n"));
    const auto result = read_env_file(path, {"PATH=/usr/bin:/bin"});
    REQUIRE_FALSE(result);
    CHECK(result.error().message.find("failed with status 3") != std::string::npos);
}

TEST_CASE("names that a script's text assigns") {
    CHECK(assigned_names("A=1\n export B=2\nC=3; D=4\n#E=5\n$F=6\n7=x\necho G\n=x") ==
          std::vector<std::string>{"A", "B", "C", "D"});
}
