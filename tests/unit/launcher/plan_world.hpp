// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/json.hpp"
#include "launcher/planner.hpp"
#include "tests/unit/launcher/fake_views.hpp"

#include <catch2/catch.hpp>

#include <string>
#include <vector>

namespace slipway::test {

using namespace slipway::launcher;
using namespace slipway::launcher::join;

/// A usual image, host, user and site; tests change what they are about.
struct World {
    World()
        : host({"/proc/", "/sys/", "/dev/", "/tmp/", "/var/tmp/", "/home/ann/", "/etc/hosts",
                "/etc/localtime", "/etc/resolv.conf", "@/dev/null", "@/dev/zero", "/data/",
                "/data/file", "/work/dir/"}) {
        for (const char* path :
             {"/proc/", "/sys/", "/dev/", "/tmp/", "/var/", "/var/tmp/", "/home/", "/etc/",
              "/etc/hosts", "/etc/resolv.conf", "/etc/localtime", "/usr/", "/usr/bin/", "/opt/",
              "/opt/tool", "/mnt/"}) {
            image.add(path);
        }
        image.file("/etc/passwd", "root:x:0:0:root:/root:/bin/bash\n");
        image.file("/etc/group", "root:x:0:\n");
        user = {1000, 1000, "ann", "Ann", "/home/ann", "/bin/bash", {{1000, "ann"}, {50, "hpc"}}};
        request.cwd = "/home/ann";
    }
    base::Result<Plan> plan() { return make_plan({request, site, user, roots, image, host}); }
    Plan good() {
        auto made = plan();
        if (!made) {
            FAIL(made.error().one_line());
        }
        return std::move(*made);
    }
    base::Error bad() {
        auto made = plan();
        REQUIRE_FALSE(made);
        return std::move(made).error();
    }
    void mount(const std::string& text) { request.mounts.push_back({MountSyntax::bind, text}); }

    FakeImage image;
    FakeHost host;
    std::vector<ImageRoot> roots{{"/images/tool.sif", false}};
    UserFacts user;
    config::LauncherConfig site;
    Request request;
};

inline std::vector<std::string> targets(const Plan& plan) {
    std::vector<std::string> list;
    for (const auto& operation : plan.operations) {
        list.push_back(operation.target);
    }
    return list;
}

inline const Operation* find(const Plan& plan, const std::string& target) {
    const Operation* found = nullptr;
    for (const auto& operation : plan.operations) {
        if (operation.target == target) {
            found = &operation;
        }
    }
    return found;
}

inline const Underlay* layer(const Plan& plan, const std::string& target) {
    for (const auto& item : plan.underlays) {
        if (item.target == target) {
            return &item;
        }
    }
    return nullptr;
}

inline base::json::Value json_of(const Plan& plan) {
    const std::vector<std::string> command{"run", "--fast"};
    auto parsed =
        base::json::parse_object(plan_json(plan, command), 1U << 20U, base::Code::internal, "plan");
    if (!parsed) {
        FAIL(parsed.error().one_line());
    }
    CHECK(parsed->at("command") == base::json::Value{"run", "--fast"});
    return parsed->at("plan");
}

} // namespace slipway::test
