// SPDX-License-Identifier: Apache-2.0
#include "launcher/container.hpp"

#include "base/format.hpp"
#include "base/path.hpp"
#include "base/text.hpp"
#include "launcher/environment.hpp"
#include "launcher/executor.hpp"
#include "launcher/fake_root.hpp"
#include "launcher/init.hpp"
#include "launcher/join/join.hpp"
#include "launcher/namespaces.hpp"
#include "launcher/planner.hpp"
#include "launcher/read_ahead.hpp"
#include "launcher/root_layers.hpp"
#include "launcher/shell_runner.hpp"
#include "launcher/work_area.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <optional>

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

/// Who the user is in the container's user namespace.
struct Identity {
    std::optional<RootMapping> root; ///< with --fakeroot
    std::optional<UserFacts> user;   ///< likewise; else the name service is asked later
};

Result<Identity> enter_user_namespace(const join::Request& request) {
    if (!request.fake_root) {
        TRY(enter_own_user_namespace());
        return Identity{};
    }
    TRY_ASSIGN(const auto caller, user_of(request));
    TRY_ASSIGN(const auto mapping, enter_root_user_namespace(caller));
    return Identity{mapping, root_facts(caller)};
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
                      const UserFacts& user, std::span<const RootImage> images, int root,
                      HostView& host, const Warn& warn) {
    std::vector<ImageRoot> roots;
    for (const auto& image : images) {
        struct stat st {};
        if (::fstat(image.image.fd.get(), &st) != 0) {
            return fail_errno(Code::io, errno, "cannot look at the image");
        }
        roots.push_back({image.path, image.image.directory, image.overlay, image.writable,
                         image.image.directory && st.st_uid == ::geteuid()});
    }
    const MountedImage view(root);
    view.learn("/");
    view.learn("/etc");
    TRY_ASSIGN(auto plan, make_plan({request, config.launcher, user, roots, view, host}));
    for (const auto& warning : plan.warnings) {
        warn(warning);
    }
    return plan;
}

/// For plans that are not carried out: parts of the work area may be missing still.
class UntouchedHost final : public MountableHost {
  public:
    explicit UntouchedHost(std::string work_area) : work_area_(std::move(work_area)) {}
    [[nodiscard]] Result<HostEntry> open(const std::string& path) override {
        auto entry = MountableHost::open(path);
        if (!entry && entry.error().sys_errno == ENOENT && !work_area_.empty() &&
            path != work_area_ && base::is_beneath(path, work_area_)) {
            HostEntry later;
            later.kind = EntryKind::directory;
            return later;
        }
        return entry;
    }

  private:
    std::string work_area_;
};

UniqueFd open_null() {
    return UniqueFd(::open("/dev/null", O_RDWR | O_CLOEXEC));
}

} // namespace

Result<join::JoinRecord> build_container(Parts parts, const Warn& warn) {
    const auto& request = parts.request;
    TRY_ASSIGN(const auto proc, base::open_file("/proc", O_PATH | O_DIRECTORY));
    // The name service may be slow; the image's server gets ready meanwhile.
    if (!parts.user) {
        TRY_ASSIGN(parts.user, user_of(request));
    }
    TRY(prepare_work_area(request));
    Plan plan;
    {
        MountableHost host;
        TRY_ASSIGN(auto root, lay_roots(parts.images, std::move(parts.mounts),
                                        LayerUse::container));
        TRY_ASSIGN(plan, plan_for(request, parts.config, *parts.user, parts.images, root.get(),
                                  host, warn));
        TRY(execute_plan(plan, std::move(root), host, warn));
    }
    join::JoinRecord record;
    record.image_name =
        request.reference.empty() ? parts.images.front().path : request.reference;
    TRY_ASSIGN(record.cwd, choose_cwd(plan, warn));
    record.cwd_was_asked_for = plan.cwd_asked_for;
    TRY_ASSIGN(const auto inside, base::open_file("/", O_PATH | O_DIRECTORY));
    const MountedImage view(inside.get());
    TRY_ASSIGN(auto environment,
               make_environment({request, plan.environment, record.cwd, view,
                                 shell_runner(proc.get(), environment_scripts_timeout_ms)}));
    for (const auto& warning : environment.warnings) {
        warn(warning);
    }
    record.environment = std::move(environment.changes);
    // What shells and MPI starters believe without looking.
    record.environment.push_back({"PWD", record.cwd});
    return record;
}

Result<InsideContainer> enter_container(const join::Request& request, const config::Config& config,
                                        const Warn& warn) {
    TRY_ASSIGN(const auto roots, open_root_images(request, config));
    const auto null = open_null();
    TRY_ASSIGN(auto identity, enter_user_namespace(request));
    MountRootsOptions options;
    options.server_threads = config.launcher.squashfs_threads;
    options.null_fd = null.get();
    TRY_ASSIGN(auto mounted, mount_roots(roots, options));
    TRY(enter_namespaces(request.namespaces));
    std::optional<PidNamespace> processes;
    if (request.namespaces.pid) {
        TRY_ASSIGN(processes, PidNamespace::enter());
    }
    TRY_ASSIGN(auto record,
               build_container({request, config, roots, std::move(mounted.mounts),
                                std::move(identity.user)},
                               warn));
    TRY(identity.root ? keep_root_privileges(*identity.root) : join::drop_privileges_for_good());
    if (processes && request.namespaces.init) {
        TRY(processes->start_init());
    }
    if (!roots.front().image.directory) {
        read_ahead_loader();
    }
    InsideContainer inside;
    inside.cwd = record.cwd;
    std::map<std::string_view, const std::optional<std::string>*> changed;
    for (const auto& change : record.environment) {
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
    TRY_ASSIGN(auto identity, enter_user_namespace(request));
    MountRootsOptions options;
    options.null_fd = null.get();
    TRY_ASSIGN(auto mounted, mount_roots(roots, options));
    if (!identity.user) {
        TRY_ASSIGN(identity.user, user_of(request));
    }
    TRY_ASSIGN(const auto root, lay_roots(roots, std::move(mounted.mounts), LayerUse::plan));
    UntouchedHost host(work_area_part(request, "."));
    return plan_for(request, config, *identity.user, roots, root.get(), host, warn);
}

} // namespace slipway::launcher
