// SPDX-License-Identifier: Apache-2.0
// run_in_container [--uid U] [OPTION VALUE]… IMAGE COMMAND [ARGUMENT]…: the prompt's door without
// the command line around it, for tests that need exact requests.
#include "base/inherited_state.hpp"
#include "base/text.hpp"
#include "launcher/container.hpp"
#include "launcher/join/mount_spec.hpp"
#include "tests/privileged/launcher/from_here.hpp"

#include <grp.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <map>

namespace {

using slipway::base::Error;
using slipway::launcher::join::Request;

int complain(const Error& error) {
    std::fprintf(stderr, "slipway: error: %s\n", error.one_line().c_str());
    return static_cast<int>(slipway::base::exit_code_for(error.code));
}

bool apply(Request& request, const std::string& name, const std::string& value) {
    using namespace slipway::launcher;
    using namespace slipway::launcher::join;
    if (name == "--bind") {
        request.mounts.push_back({MountSyntax::bind, value});
    } else if (name == "--mounts") {
        request.mounts.push_back({MountSyntax::pyxis, value});
    } else if (name == "--scratch") {
        request.scratch.push_back(value);
    } else if (name == "--no-mount") {
        request.no_mount.push_back(value);
    } else if (name == "--workdir") {
        request.workdir = value;
    } else if (name == "--home") {
        request.home = value;
    } else if (name == "--required") {
        request.required_files.push_back(value);
    } else if (name == "--keep") {
        request.keep_environment.push_back(value);
    } else if (name == "--env") {
        const auto equals = value.find('=');
        request.set_environment.emplace_back(value.substr(0, equals), value.substr(equals + 1));
    } else if (name == "--writable") {
        request.writable = value == "1" ? Switch::on : Switch::off;
    } else if (name == "--write-image") {
        request.write_image = value == "1";
    } else if (name == "--overlay") {
        auto overlay = parse_overlay(value);
        if (!overlay) {
            return false;
        }
        request.overlays.push_back(std::move(*overlay));
    } else if (name == "--contain") {
        request.containment = value == "all" ? Containment::contain_all : Containment::contain;
    } else if (name == "--work-area") {
        request.work_area = value;
    } else if (name == "--hostname") {
        request.namespaces.uts = true;
        request.namespaces.hostname = value;
    } else if (name == "--dns") {
        request.dns.push_back(value);
    } else if (name == "--own") {
        (value == "pid"   ? request.namespaces.pid
         : value == "ipc" ? request.namespaces.ipc
         : value == "uts" ? request.namespaces.uts
                          : request.namespaces.network) = true;
    } else if (name == "--nv" || name == "--rocm") {
        (name == "--nv" ? request.nv : request.rocm) = value == "1";
    } else if (name == "--fakeroot") {
        request.fake_root = value == "1";
    } else if (name == "--init") {
        request.namespaces.init = value == "1";
    } else if (name == "--mount-home") {
        request.mount_home = value == "1" ? Switch::on : Switch::off;
    } else {
        return false;
    }
    return true;
}

slipway::base::Result<slipway::config::Config> read_config(const std::string& path) {
    if (path.empty()) {
        return slipway::config::Config{};
    }
    TRY_ASSIGN(const auto text, slipway::base::read_file(path, 1U << 20U));
    return slipway::config::parse(text, path);
}

bool become(uid_t uid) {
    return ::setgroups(0, nullptr) == 0 && ::setresgid(uid, uid, uid) == 0 &&
           ::setresuid(uid, uid, uid) == 0 &&
           // A program started by that user would be dumpable: it may write its own id maps.
           ::prctl(PR_SET_DUMPABLE, 1) == 0;
}

} // namespace

int main(int argc, char** argv) {
    slipway::base::repair_inherited_state();
    Request request;
    std::string config_path;
    int at = 1;
    for (; at + 1 < argc && argv[at][0] == '-'; at += 2) {
        const std::string name = argv[at];
        const std::string value = argv[at + 1];
        if (name == "--uid") {
            if (!become(static_cast<uid_t>(std::stoul(value)))) {
                std::perror("cannot become the user");
                return 1;
            }
        } else if (name == "--config") {
            config_path = value;
        } else if (!apply(request, name, value)) {
            std::fprintf(stderr, "unknown option %s\n", name.c_str());
            return 1;
        }
    }
    if (at + 1 >= argc) {
        return 1;
    }
    slipway::test::ask_from_here(request, argv[at]);
    const auto config = read_config(config_path);
    if (!config) {
        return complain(config.error());
    }
    const auto warn = [](std::string_view line) {
        std::fprintf(stderr, "slipway: warning: %.*s\n", static_cast<int>(line.size()),
                     line.data());
    };
    if (std::getenv("SLIPWAY_TEST_PLAN") != nullptr) {
        auto plan = slipway::launcher::plan_container(request, *config, warn);
        if (!plan) {
            return complain(plan.error());
        }
        std::fputs(slipway::launcher::plan_text(*plan).c_str(), stdout);
        return 0;
    }
    auto inside = slipway::launcher::enter_container(request, *config, warn);
    if (!inside) {
        return complain(inside.error());
    }
    return complain(
        slipway::launcher::exec_inside({argv + at + 1, argv + argc}, inside->environment));
}
