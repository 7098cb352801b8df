// SPDX-License-Identifier: Apache-2.0
// What a container gets of its own: namespaces, names, and places for what it writes.
#include "tests/unit/launcher/plan_world.hpp"

#include <algorithm>

using namespace slipway::launcher;
using slipway::base::Code;
using slipway::launcher::join::Containment;
using slipway::launcher::join::Switch;
using slipway::test::find;
using slipway::test::json_of;
using slipway::test::targets;
using slipway::test::World;
using Kind = Operation::Kind;

namespace {

/// A node that has more to show than usual.
struct Node : World {
    Node() {
        host.add("/sys/fs/cgroup/");
        host.add("/dev/mqueue/");
    }
};

} // namespace

TEST_CASE("plan: without namespaces of its own the container shows the node's") {
    Node node;
    const auto plan = node.good();
    CHECK(find(plan, "/proc")->kind == Kind::bind);
    CHECK(find(plan, "/sys")->kind == Kind::bind);
    CHECK(find(plan, "/sys/fs/cgroup") == nullptr);
    CHECK(find(plan, "/dev/mqueue") == nullptr);
    CHECK(find(plan, "/etc/hostname") == nullptr);
    CHECK(json_of(plan).at("namespaces") == slipway::base::json::Value{"user", "mount"});
    CHECK(json_of(plan).at("init") == false);
}

TEST_CASE("plan: a process namespace has a /proc of its own") {
    Node node;
    node.request.namespaces.pid = true;
    const auto plan = node.good();
    CHECK(find(plan, "/proc")->kind == Kind::proc);
    CHECK(find(plan, "/proc")->noexec);
    CHECK(find(plan, "/sys")->kind == Kind::bind);
    CHECK(plan_text(plan).find("spaces  user mount pid, with init\n") != std::string::npos);
    node.request.namespaces.init = false;
    CHECK(plan_text(node.good()).find("spaces  user mount pid\n") != std::string::npos);
    node.request.no_mount = {"proc"};
    CHECK(find(node.good(), "/proc") == nullptr);
}

TEST_CASE("plan: a network namespace has a /sys of its own and the node's control groups") {
    Node node;
    node.request.namespaces.network = true;
    const auto plan = node.good();
    CHECK(find(plan, "/sys")->kind == Kind::sysfs);
    CHECK(find(plan, "/sys/fs/cgroup")->kind == Kind::bind);
    CHECK(json_of(plan).at("namespaces") == slipway::base::json::Value{"user", "mount", "network"});
    World bare;
    bare.request.namespaces.network = true;
    CHECK(find(bare.good(), "/sys/fs/cgroup") == nullptr);
    CHECK(bare.good().warnings.empty());
}

TEST_CASE("plan: an IPC namespace has message queues of its own") {
    Node node;
    node.request.namespaces.ipc = true;
    const auto usual = targets(node.good());
    CHECK(find(node.good(), "/dev/mqueue")->kind == Kind::mqueue);
    CHECK(std::find(usual.begin(), usual.end(), "/dev") <
          std::find(usual.begin(), usual.end(), "/dev/mqueue"));
    node.request.containment = Containment::contain;
    CHECK(find(node.good(), "/dev/mqueue")->kind == Kind::mqueue);
    node.request.namespaces.ipc = false;
    CHECK(find(node.good(), "/dev/mqueue")->kind == Kind::bind);
    World bare; // a node without any
    bare.request.namespaces.ipc = true;
    CHECK(find(bare.good(), "/dev/mqueue") == nullptr);
}

TEST_CASE("plan: names of the container and of its name servers") {
    Node node;
    node.request.namespaces.uts = true;
    node.request.namespaces.hostname = "box";
    node.request.dns = {"192.0.2.1", "2001:db8::1"};
    const auto plan = node.good();
    CHECK(find(plan, "/etc/hostname")->content == "box\n");
    CHECK(find(plan, "/etc/resolv.conf")->kind == Kind::file);
    CHECK(find(plan, "/etc/resolv.conf")->content ==
          "nameserver 192.0.2.1\nnameserver 2001:db8::1\n");
    CHECK(json_of(plan).at("hostname") == "box");
    node.site.resolv_conf = false; // is about the node's file
    CHECK(find(node.good(), "/etc/resolv.conf") != nullptr);
    node.request.writable = Switch::on;
    CHECK(find(node.good(), "/etc/hostname")->kind == Kind::write);
    node.request.no_mount = {"/etc/resolv.conf", "/etc/hostname"};
    CHECK(find(node.good(), "/etc/resolv.conf") == nullptr);
    CHECK(find(node.good(), "/etc/hostname") == nullptr);
}

TEST_CASE("plan: a work area takes the place of memory") {
    World world;
    world.request.containment = Containment::contain;
    world.request.scratch = {"/s/deep"};
    world.request.work_area = "/w";
    for (const char* part : {"/w/tmp/", "/w/var_tmp/", "/w/home/", "/w/scratch/s/deep/"}) {
        world.host.add(part);
    }
    const auto plan = world.good();
    for (const auto& [target, source] :
         {std::pair{"/tmp", "/w/tmp"}, std::pair{"/var/tmp", "/w/var_tmp"},
          std::pair{"/home/ann", "/w/home"}, std::pair{"/s/deep", "/w/scratch/s/deep"}}) {
        CHECK(find(plan, target)->kind == Kind::bind);
        CHECK(find(plan, target)->source == source);
    }
    // Not asked for by name.
    CHECK(find(plan, "/dev/shm")->kind == Kind::tmpfs);
}

TEST_CASE("plan: mount points can be made in a work area as they can in memory") {
    Node node;
    node.request.containment = Containment::contain;
    node.request.home = "/tmp/ann";
    node.host.add("/tmp/ann/");
    for (const bool in_memory : {true, false}) {
        node.request.work_area = in_memory ? "" : "/w";
        for (const char* part : {"/w/tmp/", "/w/var_tmp/", "/w/home/", "/w/scratch/tmp/deep/"}) {
            node.host.add(part);
        }
        node.request.scratch = {"/tmp/deep"};
        const auto plan = node.good();
        CHECK(find(plan, "/tmp/ann")->create == Create::directory);
        CHECK(find(plan, "/tmp/deep")->create == Create::directory);
    }
}

TEST_CASE("plan: a work area below the current directory, and one that is not there") {
    World world;
    world.request.scratch = {"/s"};
    world.request.work_area = "w";
    world.host.add("/home/ann/w/scratch/s/");
    CHECK(find(world.good(), "/s")->source == "/home/ann/w/scratch/s");
    // Without --contain /tmp is the node's.
    CHECK(find(world.good(), "/tmp")->source == "/tmp");
    world.request.work_area = "elsewhere";
    CHECK(world.bad().code == Code::mount_source_missing);
}

TEST_CASE("plan: the container's variables name the user's mounts only") {
    Node node;
    node.request.namespaces = {true, true, true, true, true, "box"};
    node.request.containment = Containment::contain;
    node.request.work_area = "/w";
    for (const char* part : {"/w/tmp/", "/w/var_tmp/", "/w/home/"}) {
        node.host.add(part);
    }
    node.mount("/data:/mnt");
    CHECK(node.good().environment.start.at("SINGULARITY_BIND").value == "/mnt");
}
