// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/launcher/plan_world.hpp"

using namespace slipway;
using namespace slipway::test;

TEST_CASE("plan: home directory") {
    World world;
    SECTION("the request overrides the site") {
        world.site.mount_home = false;
        world.request.mount_home = Switch::on;
        CHECK(find(world.good(), "/home/ann")->origin == Origin::user);
        world.request.mount_home = Switch::off;
        world.site.mount_home = true;
        world.request.cwd = "/";
        CHECK(find(world.good(), "/home/ann") == nullptr);
    }
    SECTION("elsewhere inside") {
        world.request.home = "/data:/home/other";
        const auto plan = world.good();
        CHECK(find(plan, "/home/other")->source == "/data");
        CHECK(plan.home == "/home/other");
        CHECK_THAT(find(plan, "/etc/passwd")->content, Catch::Contains(":/home/other:"));
    }
    SECTION("the same path inside") {
        world.request.home = "/data";
        CHECK(find(world.good(), "/data")->source == "/data");
    }
    SECTION("wrong") {
        world.request.home = "/a:/b:/c";
        CHECK(world.bad().code == base::Code::option_invalid);
        world.request.home = "/data:relative";
        CHECK(world.bad().code == base::Code::mount_target_invalid);
    }
    SECTION("missing on the host is a warning, unless asked for") {
        world.user.home = "/home/gone";
        CHECK(world.good().warnings.size() == 1);
        world.request.mount_home = Switch::on;
        CHECK(world.bad().code == base::Code::mount_source_missing);
    }
    SECTION("the root directory is no home") {
        world.user.home = "/";
        const auto plan = world.good();
        CHECK(plan.warnings.size() == 1);
        CHECK(find(plan, "/") == nullptr);
    }
    SECTION("below a mounted /tmp it is there already") {
        world.user.home = "/tmp/ann";
        world.host.add("/tmp/ann/");
        CHECK(find(world.good(), "/tmp/ann") == nullptr);
    }
}

TEST_CASE("plan: a home directory that was asked for must be there, mounted or not") {
    World world;
    world.host.add("/tmp/ann/");
    world.host.add("/tmp/file");
    world.request.cwd = "/tmp";
    SECTION("below a directory that is mounted anyway") {
        for (const char* home : {"/tmp/ann", "ann"}) {
            world.request.home = home;
            const auto plan = world.good();
            CHECK(plan.home == "/tmp/ann");
            CHECK(find(plan, "/tmp/ann") == nullptr);
        }
    }
    SECTION("missing") {
        for (const char* home :
             {"/tmp/gone", "gone", "/tmp/gone:/tmp/ann", "/gone", "/home/ann/../gone"}) {
            world.request.home = home;
            INFO(home);
            const auto error = world.bad();
            CHECK(error.code == base::Code::mount_source_missing);
            CHECK_THAT(error.message, Catch::StartsWith("mount '" + std::string(home) + "': "));
        }
    }
    SECTION("no directory") {
        for (const char* home :
             {"/tmp/file", "file", "/data/file", "/data/file:/home/ann", "/dev/null"}) {
            world.request.home = home;
            INFO(home);
            CHECK_THAT(world.bad().one_line(), Catch::StartsWith("mount-source-missing: ") &&
                                                   Catch::Contains("is not a directory (hint: "));
        }
    }
    SECTION("of no use to the user") {
        world.host.forbid("/tmp/ann");
        world.request.home = "/tmp/ann";
        CHECK_THAT(world.bad().one_line(),
                   Catch::StartsWith("mount-source-missing: ") && Catch::Contains("no permission"));
    }
    SECTION("the user's own, asked for by --container-mount-home") {
        world.user.home = "/tmp/gone";
        CHECK(world.good().warnings.empty());
        world.request.mount_home = Switch::on;
        CHECK(world.bad().code == base::Code::mount_source_missing);
    }
    SECTION("not with --no-home, which leaves it out") {
        world.request.home = "/tmp/gone";
        world.request.mount_home = Switch::off;
        CHECK(world.good().home == "/tmp/gone");
    }
}
