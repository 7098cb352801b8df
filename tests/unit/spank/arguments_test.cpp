// SPDX-License-Identifier: Apache-2.0
#include "base/fd.hpp"
#include "base/temp_dir.hpp"
#include "spank/arguments.hpp"
#include "tests/support/skip.hpp"

#include <catch2/catch.hpp>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace slipway;
using namespace slipway::spank;

namespace {

base::Result<Arguments> parse(std::vector<std::string> words) {
    std::vector<char*> list;
    for (auto& word : words) {
        list.push_back(word.data());
    }
    return parse_arguments(list);
}

} // namespace

TEST_CASE("plugstack.conf arguments", "[spank]") {
    const auto standard = parse({});
    REQUIRE(standard);
    CHECK(standard->config.empty());
    CHECK(standard->batch == launcher::join::Switch::off);
    CHECK(standard->option_prefix.empty());
    const auto all = parse({"config=/etc/c.yaml", "launcher=/x/slipway-launch",
                            "option_prefix=pilot-", "batch=container"});
    REQUIRE(all);
    CHECK(all->config == "/etc/c.yaml");
    CHECK(all->option_prefix == "pilot-");
    CHECK(all->batch == launcher::join::Switch::on);
    CHECK(find_program(*all, "slipway-launch") == "/x/slipway-launch");
    CHECK(find_program(*all, "slipway-stagec") == "/x/slipway-stagec");
    for (const auto* bad :
         {"config=relative", "config=", "config", "launcher=x", "option_prefix=UPPER",
          "option_prefix=-x", "option_prefix=abcdefghijklmnopqrstu", "batch=maybe", "batch",
          "confg=/x", "", "=x"}) {
        CAPTURE(bad);
        const auto got = parse({bad});
        REQUIRE_FALSE(got);
        CHECK(got.error().code == base::Code::plugin_misconfigured);
        CHECK_FALSE(got.error().hint.empty());
    }
}

TEST_CASE("an installed plugin knows an installed launcher", "[spank]") {
    const auto arguments = parse({});
    REQUIRE(arguments);
    CHECK(find_program(*arguments, "slipway-launch").ends_with("/slipway-launch"));
    CHECK(find_program(*arguments, "slipway-launch").starts_with("/"));
}

TEST_CASE("root runs only what nobody else can change", "[spank]") {
    CHECK(check_root_program("/bin/sh"));
    CHECK_FALSE(check_root_program("/bin/no-such-program"));
    CHECK_FALSE(check_root_program("/bin"));
    CHECK_FALSE(check_root_program("bin/sh"));
    if (::getuid() != 0) {
        test::skip("the rest needs root");
        return;
    }
    auto directory = base::TempDir::create("slipway-test");
    REQUIRE(directory);
    const auto path = directory->path() + "/program";
    const auto file = base::open_file(path, O_CREAT | O_WRONLY, 0755);
    REQUIRE(file);
    CHECK(check_root_program(path)); // /tmp is sticky
    const auto link = directory->path() + "/link"; // the program is root's, the way to it is not
    REQUIRE(::symlink(path.c_str(), link.c_str()) == 0);
    CHECK(check_root_program(link));
    REQUIRE(::lchown(link.c_str(), 1000, 1000) == 0);
    CHECK_FALSE(check_root_program(link));
    REQUIRE(::fchmod(file->get(), 0775) == 0);
    CHECK_FALSE(check_root_program(path));
    REQUIRE(::fchmod(file->get(), 0755) == 0);
    REQUIRE(::fchown(file->get(), 1000, 1000) == 0);
    CHECK_FALSE(check_root_program(path));
    REQUIRE(::fchown(file->get(), 0, 0) == 0);
    REQUIRE(::chown(directory->path().c_str(), 1000, 1000) == 0);
    CHECK_FALSE(check_root_program(path));
    REQUIRE(::chown(directory->path().c_str(), 0, 0) == 0);
    REQUIRE(::chmod(directory->path().c_str(), 0777) == 0);
    CHECK_FALSE(check_root_program(path));
}
