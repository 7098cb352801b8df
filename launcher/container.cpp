// SPDX-License-Identifier: Apache-2.0
#include "launcher/container.hpp"

#include "base/format.hpp"
#include "base/path.hpp"
#include "base/text.hpp"
#include "launcher/environment.hpp"
#include "launcher/executor.hpp"
#include "launcher/join/join.hpp"
#include "launcher/namespaces.hpp"
#include "launcher/planner.hpp"
#include "launcher/read_ahead.hpp"
#include "launcher/shell_runner.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>

namespace slipway::launcher {
namespace {

using base::Code;
using base::fail_errno;
using base::in_quotes;
using base::Result;
using base::Unexpected;
using base::UniqueFd;

constexpr int environment_scripts_timeout_ms = 10'000;

Result<UserFacts> user_of(const join::Request& request) {
    TRY_ASSIGN(auto user, look_up_user());
    if (user.name.empty()) {
        // A node without the user's entry (without LDAP, for example) still has what the job
        // brought.
        for (const auto& item : request.environment) {
            if (item.starts_with("HOME=/") && user.home == "/") {
                user.home = item.substr(5);
            }
        }
    }
    return user;
}

/// First of the candidates that is a directory that the user can enter.
Result<std::string> choose_cwd(const Plan& plan, const Warn& warn) {
    if (::chdir(plan.cwd.c_str()) == 0) {
        return plan.cwd;
    }
    const int err = errno;
    if (plan.cwd_asked_for) {
        return fail_errno(Code::workdir_missing, err,
                          fmt::format("cannot enter the working directory {} in the container",
                                      in_quotes(plan.cwd)),
                          "name a directory of the image, or mount one there");
    }
    const std::string next = ::chdir(plan.home.c_str()) == 0 ? plan.home : "/";
    if (next == "/" && ::chdir("/") != 0) {
        return fail_errno(Code::workdir_missing, errno, "cannot enter '/' in the container");
    }
    warn(
        fmt::format("cannot enter the current directory {} in the container ({}); using {} instead",
                    in_quotes(plan.cwd), base::errno_text(err), in_quotes(next)));
    return next;
}

Result<Plan> plan_for(const join::Request& request, const config::Config& config,
                      const UserFacts& user, std::span<const RootImage> images,
                      const MountedRoots& mounted, MountableHost& host, const Warn& warn) {
    std::vector<ImageRoot> roots;
    for (const auto& image : images) {
        roots.push_back({image.path, image.image.directory});
    }
    const MountedImage view(mounted.mounts.front().get());
    view.learn("/");
    view.learn("/etc");
    TRY_ASSIGN(auto plan, make_plan({request, config.launcher, user, roots, view, host}));
    for (const auto& warning : plan.warnings) {
        warn(warning);
    }
    return plan;
}

UniqueFd open_null() {
    return UniqueFd(::open("/dev/null", O_RDWR | O_CLOEXEC));
}

} // namespace

Result<BuiltContainer> build_container(const join::Request& request, const config::Config& config,
                                       std::span<const RootImage> roots,
                                       const BuildOptions& options) {
    TRY_ASSIGN(const auto proc, base::open_file("/proc", O_PATH | O_DIRECTORY));
    TRY_ASSIGN(auto mounted, mount_roots(roots, options.roots));
    // The name service may be slow; the image's server gets ready meanwhile.
    TRY_ASSIGN(const auto user, user_of(request));
    Plan plan;
    {
        MountableHost host;
        TRY_ASSIGN(plan, plan_for(request, config, user, roots, mounted, host, options.warn));
        TRY(execute_plan(plan, std::move(mounted.mounts), host, options.warn));
    }
    BuiltContainer built;
    built.servers = std::move(mounted.servers);
    built.record.image_name = request.reference.empty() ? roots.front().path : request.reference;
    TRY_ASSIGN(built.record.cwd, choose_cwd(plan, options.warn));
    built.record.cwd_was_asked_for = plan.cwd_asked_for;
    TRY_ASSIGN(const auto inside, base::open_file("/", O_PATH | O_DIRECTORY));
    const MountedImage view(inside.get());
    TRY_ASSIGN(auto environment,
               make_environment({request, plan.environment, built.record.cwd, view,
                                 shell_runner(proc.get(), environment_scripts_timeout_ms)}));
    for (const auto& warning : environment.warnings) {
        options.warn(warning);
    }
    built.record.environment = std::move(environment.changes);
    // What shells and MPI starters believe without looking.
    built.record.environment.push_back({"PWD", built.record.cwd});
    return built;
}

Result<InsideContainer> enter_container(const join::Request& request, const config::Config& config,
                                        const Warn& warn) {
    TRY_ASSIGN(const auto roots, open_root_images(request, config));
    const auto null = open_null();
    TRY(enter_own_user_namespace());
    BuildOptions options;
    options.warn = warn;
    options.roots.server_threads = config.launcher.squashfs_threads;
    options.roots.null_fd = null.get();
    TRY_ASSIGN(auto built, build_container(request, config, roots, options));
    TRY(join::drop_privileges_for_good());
    if (!roots.front().image.directory) {
        read_ahead_loader();
    }
    InsideContainer inside;
    inside.cwd = built.record.cwd;
    std::map<std::string_view, const std::optional<std::string>*> changed;
    for (const auto& change : built.record.environment) {
        changed[change.name] = &change.value;
    }
    for (const auto& item : request.environment) {
        if (!changed.contains(std::string_view(item).substr(0, item.find('=')))) {
            inside.environment.push_back(item);
        }
    }
    for (const auto& [name, value] : changed) {
        if (*value) {
            inside.environment.push_back(fmt::format("{}={}", name, **value));
        }
    }
    return inside;
}

Result<Plan> plan_container(const join::Request& request, const config::Config& config,
                            const Warn& warn) {
    TRY_ASSIGN(const auto roots, open_root_images(request, config));
    const auto null = open_null();
    TRY(enter_own_user_namespace());
    MountRootsOptions options;
    options.null_fd = null.get();
    TRY_ASSIGN(const auto mounted, mount_roots(roots, options));
    TRY_ASSIGN(const auto user, user_of(request));
    MountableHost host;
    return plan_for(request, config, user, roots, mounted, host, warn);
}

} // namespace slipway::launcher
