// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/launcher/plan_world.hpp"

using namespace slipway;
using namespace slipway::test;

namespace {

ImageRoot overlay(const std::string& path, bool directory, bool writable) {
    return {path, directory, true, writable, directory};
}

ImageRoot sandbox(bool own) {
    return {"/images/tree", true, false, true, own};
}

} // namespace

TEST_CASE("plan: overlays that are only read leave the root read-only") {
    World world;
    world.roots.push_back(overlay("/images/over.sqsh", false, false));
    const auto plan = world.good();
    CHECK(plan.changes == Changes::none);
    CHECK_FALSE(plan.underlays.empty());
    CHECK(find(plan, "/etc/passwd")->kind == Operation::Kind::file);
    CHECK_THAT(plan_text(plan),
               Catch::StartsWith("image   '/images/tool.sif'\noverlay '/images/over.sqsh' ro\n"
                                 "root    ro,nosuid,nodev\n"));
    world.request.writable = Switch::on;
    CHECK(world.good().changes == Changes::memory);
}

TEST_CASE("plan: an overlay that keeps changes is a writable root") {
    World world;
    world.roots.push_back(overlay("/images/over.sqsh", false, false));
    world.roots.push_back(overlay("/home/ann/over", true, true));
    world.mount("/data:/new/place");
    const auto plan = world.good();
    CHECK(plan.changes == Changes::overlay);
    CHECK(plan.underlays.empty());
    CHECK(find(plan, "/new/place")->create == Create::directory);
    CHECK(find(plan, "/etc/passwd")->kind == Operation::Kind::write);
    CHECK_THAT(plan_text(plan), Catch::Contains("overlay '/home/ann/over' directory\n"
                                                "root    writable, changes in "
                                                "'/home/ann/over/upper'\n"));
    const auto json = json_of(plan);
    CHECK(json.at("writable") == true);
    CHECK(json.at("changes") == "overlay");
    CHECK(json.at("writable_size") == 0);
    CHECK(json.at("roots").at(2) == base::json::Value{{"path", "/home/ann/over"},
                                                      {"directory", true},
                                                      {"overlay", true},
                                                      {"writable", true}});
}

TEST_CASE("plan: the user's own directory gets mount points and no files of the node") {
    World world;
    world.roots = {sandbox(true)};
    world.image.link("/etc/localtime", "/usr/share/zoneinfo/Etc/UTC");
    world.mount("/data:/new/place");
    const auto plan = world.good();
    CHECK(plan.changes == Changes::image);
    CHECK(plan.underlays.empty());
    CHECK(find(plan, "/new/place")->create == Create::directory);
    CHECK(find(plan, "/home/ann")->create == Create::directory);
    for (const auto& operation : plan.operations) {
        CHECK(operation.kind != Operation::Kind::write);
    }
    CHECK(find(plan, "/etc/localtime") == nullptr);
    CHECK(find(plan, "/usr/share/zoneinfo/Etc/UTC")->create == Create::file);
    CHECK_THAT(plan_text(plan), Catch::Contains("root    writable, changes in the image itself\n"));
    CHECK(json_of(plan).at("changes") == "image");
}

TEST_CASE("plan: in somebody else's directory no mount point is made") {
    World world;
    world.roots = {sandbox(false)};
    SECTION("fatal for the home directory") {
        const auto error = world.bad();
        CHECK(error.code == base::Code::mount_target_invalid);
        CHECK_THAT(error.message,
                   Catch::EndsWith("destination '/home/ann' doesn't exist in container"));
    }
    SECTION("fatal for an empty home directory, too") {
        world.request.containment = Containment::contain;
        CHECK_THAT(world.bad().message, Catch::EndsWith("doesn't exist in container"));
    }
    SECTION("a home directory that the node lacks is a warning as ever") {
        world.user.home = "/home/bob";
        world.image.add("/home/ann/");
        const auto plan = world.good();
        REQUIRE(plan.warnings.size() == 1);
        CHECK_THAT(plan.warnings[0], Catch::Contains("cannot open '/home/bob'"));
    }
    SECTION("fatal for the user's binds") {
        world.image.add("/home/ann/");
        CHECK(world.good().warnings.empty());
        world.mount("/data:/new");
        CHECK_THAT(world.bad().one_line(),
                   Catch::Contains("destination '/new' doesn't exist in container"));
    }
    SECTION("a warning for the rest") {
        world.image.add("/home/ann/");
        world.site.bind = {"/data:/site"};
        const auto plan = world.good();
        REQUIRE(plan.warnings.size() == 1);
        CHECK_THAT(plan.warnings[0],
                   Catch::Contains("destination '/site' doesn't exist in container (left out)"));
        CHECK(find(plan, "/site") == nullptr);
    }
}
