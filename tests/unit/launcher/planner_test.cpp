// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/launcher/plan_world.hpp"

#include <catch2/catch.hpp>

#include <algorithm>

using namespace slipway;
using namespace slipway::test;

namespace {

base::json::Value operation_in(const base::json::Value& plan, const std::string& target) {
    for (const auto& operation : plan.at("operations")) {
        if (operation.at("target") == target) {
            return operation;
        }
    }
    FAIL("no operation at " << target);
    return {};
}

} // namespace

TEST_CASE("plan: the usual container") {
    World world;
    const auto plan = world.good();
    CHECK(targets(plan) == std::vector<std::string>{"/proc", "/sys", "/dev", "/tmp", "/var/tmp",
                                                    "/home/ann", "/etc/hosts", "/etc/localtime",
                                                    "/etc/resolv.conf", "/etc/passwd",
                                                    "/etc/group"});
    CHECK(find(plan, "/proc")->nodev);
    CHECK_FALSE(find(plan, "/dev")->nodev);
    CHECK(find(plan, "/etc/hosts")->readonly);
    CHECK_FALSE(find(plan, "/tmp")->readonly);
    CHECK(find(plan, "/etc/passwd")->content ==
          "root:x:0:0:root:/root:/bin/bash\nann:x:1000:1000:Ann:/home/ann:/bin/bash\n");
    CHECK(find(plan, "/etc/group")->content == "root:x:0:\nann:x:1000:ann\nhpc:x:50:ann\n");
    CHECK(plan.changes == Changes::none);
    CHECK(plan.cwd == "/home/ann");
    CHECK_FALSE(plan.cwd_asked_for);
    // The home directory is missing in the image's /home, and only there.
    REQUIRE(plan.underlays.size() == 1);
    CHECK(plan.underlays[0].target == "/home");
    CHECK(plan.underlays[0].make ==
          std::vector<std::pair<std::string, EntryKind>>{{"ann", EntryKind::directory}});
    CHECK(plan.warnings.empty());
}

TEST_CASE("plan: --no-mount and the site leave things out") {
    World world;
    world.request.no_mount = {
        "proc",        "sys", "dev", "home", "tmp", "bind-paths", "/etc/resolv.conf",
        "/etc/passwd", "cwd"};
    world.site.group = false;
    CHECK(world.good().operations.empty());

    World site;
    site.site.mount_home = false;
    site.site.mount_tmp = false;
    site.site.mount_cwd = false;
    site.site.passwd = false;
    site.site.group = false;
    site.site.resolv_conf = false;
    CHECK(targets(site.good()) ==
          std::vector<std::string>{"/proc", "/sys", "/dev", "/etc/hosts", "/etc/localtime"});
}

TEST_CASE("plan: --contain") {
    World world;
    world.request.containment = Containment::contain;
    world.request.cwd = "/work/dir";
    world.site.bind = {"/data"};
    const auto plan = world.good();
    CHECK(find(plan, "/dev")->kind == Operation::Kind::tmpfs);
    CHECK(find(plan, "/dev/null")->create == Create::file);
    CHECK_FALSE(find(plan, "/dev/null")->nodev);
    CHECK(find(plan, "/dev/full") == nullptr); // the host has none
    CHECK(find(plan, "/dev/fd")->source == "/proc/self/fd");
    CHECK(find(plan, "/dev/shm")->mode == 01777);
    CHECK(find(plan, "/dev/pts")->kind == Operation::Kind::devpts);
    CHECK(find(plan, "/tmp")->kind == Operation::Kind::tmpfs);
    CHECK(find(plan, "/tmp")->size == world.site.tmpfs_size);
    CHECK(find(plan, "/home/ann")->kind == Operation::Kind::tmpfs);
    CHECK(find(plan, "/work/dir") == nullptr);
    CHECK(find(plan, "/data") == nullptr);
    CHECK(find(plan, "/etc/hosts") != nullptr);
    CHECK(plan.cwd == "/home/ann");
}

TEST_CASE("plan: current directory") {
    World world;
    SECTION("bound at its own path, parents made") {
        world.request.cwd = "/work/dir";
        const auto plan = world.good();
        CHECK(find(plan, "/work/dir")->source == "/work/dir");
        REQUIRE(layer(plan, "/") != nullptr);
        CHECK(layer(plan, "/")->make[0].first == "work/dir");
        CHECK(layer(plan, "/")->keep.size() == 10);
    }
    SECTION("visible already") {
        world.request.cwd = "/tmp/x";
        world.host.add("/tmp/x/");
        CHECK(find(world.good(), "/tmp/x") == nullptr);
    }
    SECTION("never the system's own directories") {
        for (const char* cwd : {"/", "/etc", "/usr", "/opt", "/lib64", "/proc/self", "/sys/fs"}) {
            world.request.cwd = cwd;
            world.host.add(std::string(cwd) + "/");
            CHECK(find(world.good(), cwd == std::string("/") ? "//" : cwd) == nullptr);
        }
    }
    SECTION("the image says otherwise") {
        world.image.link("/work", "/opt");
        world.request.cwd = "/work/dir";
        CHECK(find(world.good(), "/opt/dir") == nullptr);
    }
    SECTION("a user's mount is not hidden by it") {
        world.request.cwd = "/work/dir";
        world.mount("/data:/work");
        const auto plan = world.good();
        CHECK(find(plan, "/work")->source == "/data");
        CHECK(find(plan, "/work/dir") == nullptr);
    }
    SECTION("given") {
        world.request.workdir = "/opt";
        CHECK(world.good().cwd == "/opt");
        CHECK(world.good().cwd_asked_for);
    }
    SECTION("gone on the host") {
        world.request.cwd = "/nowhere";
        CHECK(world.good().cwd == "/nowhere"); // tried, then said
        CHECK(find(world.good(), "/nowhere") == nullptr);
    }
}

TEST_CASE("plan: the user's mounts come in the order given") {
    World world;
    world.mount("/data:/mnt");
    world.request.mounts.push_back({MountSyntax::pyxis, "/data/file:/mnt/file:ro"});
    world.request.mounts.push_back({MountSyntax::mount_csv, "source=/data,dst=/opt"});
    const auto plan = world.good();
    const auto list = targets(plan);
    CHECK(std::vector<std::string>(list.end() - 3, list.end()) ==
          std::vector<std::string>{"/mnt", "/mnt/file", "/opt"});
    // Inside a host directory nothing is made.
    CHECK(find(plan, "/mnt/file")->create == Create::nothing);
    CHECK(find(plan, "/mnt/file")->readonly);
    CHECK(find(plan, "/mnt/file")->shape == EntryKind::file);
}

TEST_CASE("plan: what cannot be mounted") {
    World world;
    SECTION("missing source") {
        world.mount("/nowhere:/mnt");
        const auto error = world.bad();
        CHECK(error.code == base::Code::mount_source_missing);
        CHECK_THAT(error.one_line(), Catch::Contains("/nowhere"));
        CHECK_FALSE(error.hint.empty());
    }
    SECTION("unreadable source") {
        world.host.add("/secret/");
        world.host.forbid("/secret");
        world.mount("/secret:/mnt");
        CHECK_THAT(world.bad().one_line(), Catch::Contains("no permission"));
    }
    SECTION("a file over a directory and the other way round") {
        world.mount("/data/file:/mnt");
        CHECK_THAT(world.bad().one_line(), Catch::Contains("is a directory in the image"));
        world.request.mounts = {{MountSyntax::bind, "/data:/opt/tool"}};
        CHECK_THAT(world.bad().one_line(), Catch::Contains("is a file in the image"));
        world.request.mounts = {{MountSyntax::bind, "/data:/opt/tool/x"}};
        CHECK_THAT(world.bad().one_line(), Catch::Contains("not a directory"));
    }
    SECTION("a symlink to the system's own") {
        world.image.link("/evil", "/proc");
        world.mount("/data:/evil");
        CHECK(world.bad().code == base::Code::mount_target_invalid);
        world.image.link("/evil2", "../../..");
        world.request.mounts = {{MountSyntax::bind, "/data:/evil2"}};
        CHECK(world.bad().code == base::Code::mount_target_invalid);
    }
    SECTION("a symlink loop") {
        world.image.link("/a", "/b");
        world.image.link("/b", "/a");
        world.mount("/data:/a");
        CHECK_THAT(world.bad().one_line(), Catch::Contains("too many symlinks"));
    }
    SECTION("the site's are warnings") {
        world.site.bind = {"/nowhere", "/data:relative", "/data:/mnt:ro"};
        const auto plan = world.good();
        CHECK(plan.warnings.size() == 2);
        CHECK(find(plan, "/mnt")->readonly);
        CHECK(find(plan, "/mnt")->origin == Origin::site);
    }
}

TEST_CASE("plan: targets through symlinks stay in the image") {
    World world;
    world.image.link("/link", "opt");
    world.image.link("/abs", "/usr/bin");
    world.image.link("/up", "../../../../etc");
    world.image.link("/dangling", "/srv/data");
    world.mount("/data:/link");
    world.mount("/data:/abs");
    world.mount("/data:/up/deep");
    world.mount("/data:/dangling");
    const auto plan = world.good();
    CHECK(find(plan, "/opt") != nullptr);
    CHECK(find(plan, "/usr/bin") != nullptr);
    CHECK(find(plan, "/etc/deep") != nullptr);
    CHECK(find(plan, "/srv/data") != nullptr);
    CHECK(layer(plan, "/etc")->make[0].first == "deep");
    CHECK(layer(plan, "/")->make[0].first == "srv/data");
}

TEST_CASE("plan: a symlinked /etc/localtime is replaced, not written through") {
    World world;
    world.image.link("/etc/localtime", "/usr/share/zoneinfo/Etc/UTC");
    const auto plan = world.good();
    REQUIRE(layer(plan, "/etc") != nullptr);
    CHECK(layer(plan, "/etc")->make ==
          std::vector<std::pair<std::string, EntryKind>>{{"localtime", EntryKind::file}});
    for (const auto& [name, entry] : layer(plan, "/etc")->keep) {
        CHECK(name != "localtime");
    }
    CHECK(find(plan, "/etc/localtime") != nullptr);
}

TEST_CASE("plan: big directories get an overlay, a big root is an error") {
    World world;
    for (int i = 0; i < 100; ++i) {
        world.image.add("/usr/bin/p" + std::to_string(i));
    }
    world.mount("/data/file:/usr/bin/extra");
    CHECK(layer(world.good(), "/usr/bin")->method == Underlay::Method::layered);
    CHECK(layer(world.good(), "/usr/bin")->keep.empty());
    world.mount("/data:/new");
    CHECK(layer(world.good(), "/")->method == Underlay::Method::rebuilt);
    for (int i = 0; i < 2000; ++i) {
        world.image.add("/d" + std::to_string(i));
    }
    CHECK_THAT(world.bad().one_line(), Catch::Contains("cannot make '/new'"));
}

TEST_CASE("plan: layers are ordered and each mount point is made once") {
    World world;
    world.mount("/data:/new/a");
    world.mount("/data:/new/b");
    world.mount("/data:/opt/x/y");
    const auto plan = world.good();
    REQUIRE(plan.underlays.size() == 3);
    CHECK(plan.underlays[0].target == "/");
    CHECK(plan.underlays[1].target == "/home");
    CHECK(plan.underlays[2].target == "/opt");
    CHECK(plan.underlays[0].make.size() == 2);
}

TEST_CASE("plan: tmpfs and scratch make what is below them") {
    World world;
    world.request.scratch = {"/scratch"};
    world.mount("/data:/scratch/in");
    world.request.mounts.push_back({MountSyntax::pyxis, "tmpfs:/mnt"});
    const auto plan = world.good();
    CHECK(find(plan, "/scratch")->kind == Operation::Kind::tmpfs);
    CHECK(find(plan, "/scratch/in")->create == Create::directory);
    CHECK(find(plan, "/mnt")->origin == Origin::user);
    World deep; // in a directory that the image lacks
    deep.request.scratch = {"/new/scratch"};
    deep.mount("/data:/new/scratch/in/there");
    CHECK(find(deep.good(), "/new/scratch/in/there")->create == Create::directory);
    CHECK(layer(deep.good(), "/")->make.size() == 1);
    World wrong;
    wrong.request.scratch = {"relative"};
    CHECK(wrong.bad().code == base::Code::mount_target_invalid);
}

TEST_CASE("plan: a writable root makes its mount points in itself") {
    World world;
    world.request.writable = Switch::on;
    world.mount("/data:/new/place");
    const auto plan = world.good();
    CHECK(plan.changes == Changes::memory);
    CHECK(plan.writable_size == world.site.tmpfs_size);
    CHECK(plan.underlays.empty());
    CHECK(find(plan, "/new/place")->create == Create::directory);
    CHECK_THAT(plan_text(plan), Catch::Contains("half of memory"));
}

TEST_CASE("plan: the files that every container gets are part of a writable root") {
    World world;
    world.request.writable = Switch::on;
    world.image.link("/etc/localtime", "/usr/share/zoneinfo/Etc/UTC");
    const auto plan = world.good();
    for (const char* path :
         {"/etc/passwd", "/etc/group", "/etc/hosts", "/etc/localtime", "/etc/resolv.conf"}) {
        REQUIRE(find(plan, path) != nullptr);
        CHECK(find(plan, path)->kind == Operation::Kind::write);
    }
    CHECK(find(plan, "/etc/hosts")->source == "/etc/hosts");
    CHECK(find(plan, "/etc/hosts")->create == Create::nothing);
    CHECK(find(plan, "/etc/localtime")->create == Create::file); // in place of the symlink
    CHECK_THAT(find(plan, "/etc/passwd")->content, Catch::Contains("ann:x:1000"));
    CHECK_THAT(plan_text(plan), Catch::Contains("write   '/etc/hosts' from '/etc/hosts' (system)"));
    CHECK(operation_in(json_of(plan), "/etc/passwd").at("kind") == "write");
    // What the user binds there finds the file and not the symlink.
    world.mount("/data/file:/etc/localtime");
    CHECK(find(world.good(), "/etc/localtime")->kind == Operation::Kind::bind);
    // Below a directory of the host nothing is written.
    world.image.link("/etc", "/tmp/etc");
    for (const auto& operation : world.good().operations) {
        CHECK(operation.kind != Operation::Kind::write);
    }
}

TEST_CASE("plan: required files are there, or nothing starts") {
    World world;
    world.host.add("/var/spool/slurmd/job1/script");
    world.request.required_files = {"/var/spool/slurmd/job1/script"};
    const auto plan = world.good();
    CHECK(find(plan, "/var/spool/slurmd/job1/script")->readonly);
    CHECK(layer(plan, "/var")->make[0] ==
          std::pair<std::string, EntryKind>{"spool/slurmd/job1/script", EntryKind::file});
    // The second would be visible, were it there.
    for (const char* path : {"/var/spool/slurmd/job2/script", "/tmp/job2/script"}) {
        world.request.required_files = {path};
        CHECK(world.bad().code == base::Code::mount_source_missing);
    }
}

TEST_CASE("plan: one mount serves a /var/tmp that is a symlink") {
    World world;
    world.image.link("/var/tmp", "../tmp");
    const auto plan = world.good();
    const auto list = targets(plan);
    CHECK(std::count(list.begin(), list.end(), "/tmp") == 1);
    CHECK(find(plan, "/var/tmp") == nullptr);
}

TEST_CASE("plan: default mounts on one place of the image: the first stays") {
    World world;
    SECTION("/tmp is a symlink to /var/tmp") {
        world.image.link("/tmp", "var/tmp");
        world.user.home = "/tmp/ann";
        world.host.add("/tmp/ann/");
        world.host.add("/tmp/work/");
        world.request.cwd = "/tmp/work";
        const auto plan = world.good();
        const auto list = targets(plan);
        CHECK(std::count(list.begin(), list.end(), "/var/tmp") == 1);
        CHECK(find(plan, "/var/tmp")->source == "/tmp");
        CHECK(find(plan, "/var/tmp/ann") == nullptr); // visible through /tmp
        CHECK(plan.cwd == "/tmp/work");
        CHECK(plan.warnings.empty());
    }
    SECTION("/tmp lies below /var/tmp") {
        world.image.add("/var/tmp/inner/");
        world.image.link("/tmp", "/var/tmp/inner");
        const auto plan = world.good();
        CHECK(find(plan, "/var/tmp/inner")->source == "/tmp");
        CHECK(find(plan, "/var/tmp") == nullptr);
    }
    SECTION("/var/tmp lies below /tmp") {
        world.image.link("/var/tmp", "/tmp/inner");
        const auto plan = world.good();
        CHECK(find(plan, "/tmp")->source == "/tmp");
        CHECK(find(plan, "/tmp/inner") == nullptr);
    }
    SECTION("the same for contained ones") {
        world.image.link("/tmp", "var/tmp");
        world.request.containment = Containment::contain;
        const auto plan = world.good();
        const auto list = targets(plan);
        CHECK(std::count(list.begin(), list.end(), "/var/tmp") == 1);
    }
    SECTION("a home that leads to /tmp") {
        world.image.link("/home/ann", "/tmp");
        const auto plan = world.good();
        CHECK(find(plan, "/tmp")->source == "/tmp");
        REQUIRE(plan.warnings.size() == 1);
        CHECK_THAT(plan.warnings[0], Catch::Contains("'/home/ann' is not mounted"));
        world.request.mount_home = Switch::on;
        CHECK(find(world.good(), "/tmp")->source == "/home/ann");
    }
    SECTION("what the user asks for lies on top") {
        world.image.link("/tmp", "var/tmp");
        world.mount("/data:/var/tmp");
        CHECK(find(world.good(), "/var/tmp")->source == "/data");
    }
}

TEST_CASE("plan: users and groups of images that keep them behind symlinks") {
    World world;
    world.image.link("/etc/passwd", "/nix/store/passwd");
    world.image.file("/nix/store/passwd", "svc:x:7:7::/:/bin/svc\n");
    world.image.link("/etc/group", "../nix/store/group");
    world.image.file("/nix/store/group", "svc:x:7:\n");
    const auto plan = world.good();
    CHECK_THAT(find(plan, "/etc/passwd")->content, Catch::StartsWith("svc:x:7:7::/:/bin/svc\n"));
    CHECK_THAT(find(plan, "/etc/group")->content, Catch::StartsWith("svc:x:7:\n"));
    world.image.link("/nix/store/passwd", "passwd");
    CHECK_THAT(find(world.good(), "/etc/passwd")->content, Catch::StartsWith("root:"));
}

TEST_CASE("plan: devices keep working when they are bound alone") {
    World world;
    world.host.add("@/srv/device");
    world.mount("/srv/device:/mnt/device");
    CHECK_FALSE(find(world.good(), "/mnt/device")->nodev);
}

TEST_CASE("plan: text and JSON") {
    World world;
    world.mount("/data:/mnt:ro");
    const auto plan = world.good();
    CHECK_THAT(plan_text(plan),
               Catch::Contains("bind    '/mnt' from '/data' ro,nosuid,nodev (user)"));
    CHECK_THAT(plan_text(plan), Catch::Contains("make    directory 'ann' in '/home' (rebuilt)"));
    const auto json = json_of(plan);
    const auto bind = operation_in(json, "/mnt");
    CHECK(bind.at("kind") == "bind");
    CHECK(bind.at("origin") == "user");
    CHECK(bind.at("source") == "/data");
    CHECK(bind.at("flags") == "ro,nosuid,nodev");
    CHECK_THAT(operation_in(json, "/etc/passwd").at("content").get<std::string>(),
               Catch::Contains("ann:x:1000:1000:Ann:/home/ann:/bin/bash\n"));
    CHECK(operation_in(json, "/dev").at("kind") == "bind");
    CHECK(json.at("cwd") == "/home/ann");
    CHECK(json.at("writable") == false);
}

TEST_CASE("plan: the image's roots are listed") {
    World world;
    CHECK_THAT(plan_text(world.good()), Catch::StartsWith("image   '/images/tool.sif'\n"));
    world.roots = {{"/images/tree", true}};
    const auto plan = world.good();
    CHECK_THAT(plan_text(plan), Catch::StartsWith("image   '/images/tree' directory\n"));
    CHECK(json_of(plan).at("roots") ==
          base::json::Value::array({{{"path", "/images/tree"},
                                     {"directory", true},
                                     {"overlay", false},
                                     {"writable", false}}}));
}

TEST_CASE("plan: the environment is shown, values of the user's variables are not") {
    World world;
    world.site.env = {{"SITE", "cluster"}};
    world.request.environment = {"TOKEN=secret1", "SLIPWAYENV_KEY=secret2", "PATH=/host/bin"};
    world.request.set_environment = {{"MODE", "secret3"}, {"UID", "0"}};
    const auto plan = world.good();
    CHECK(plan.environment.host.at("TOKEN") == "secret1");
    const auto text = plan_text(plan);
    CHECK_THAT(text, Catch::Contains("env     SITE='cluster' (site)\n"));
    CHECK_THAT(text, Catch::Contains("env     KEY (user)\nenv     MODE (user)\n"));
    const auto json = json_of(plan).at("environment");
    CHECK(json.at("host") == base::json::Value{"TOKEN"});
    CHECK(json.at("site") == base::json::Value{{"SITE", "cluster"}});
    CHECK(json.at("user") == base::json::Value{"KEY", "MODE"});
    for (const char* secret : {"secret1", "secret2", "secret3"}) {
        CHECK_THAT(plan_json(plan, {}) + text, !Catch::Contains(secret));
    }
    REQUIRE(plan.warnings.size() == 1);
    CHECK_THAT(plan.warnings[0], Catch::Contains("UID"));
}

TEST_CASE("plan: any bytes make good JSON") {
    World world;
    const std::string odd = "/data/\xff\n\"\\\x01";
    world.host.add(odd + "/");
    world.request.mounts.push_back({MountSyntax::pyxis, "/data:/mnt/a"});
    auto plan = world.good();
    plan.operations.back().source = odd;
    CHECK(json_of(plan).at("operations").back().at("source") == R"(/data/\xff\x0a"\\x01)");
    plan.operations.back().source = "/data/\n\"\x01";
    CHECK(json_of(plan).at("operations").back().at("source") == "/data/\n\"\x01");
}
