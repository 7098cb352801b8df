// SPDX-License-Identifier: Apache-2.0
#include "base/format.hpp"
#include "base/path.hpp"
#include "base/text.hpp"
#include "launcher/join/mount_spec.hpp"
#include "launcher/planner_impl.hpp"
#include "launcher/work_area.hpp"

#include <algorithm>
#include <array>

namespace slipway::launcher {
namespace {

using base::Code;
using base::Error;
using base::fail;
using base::in_quotes;
using base::Result;
using base::Unexpected;

/// A current directory that is one of these is not bound: it would hide the image's own.
constexpr std::array<std::string_view, 9> never_cwd{"/",    "/etc", "/bin",  "/mnt", "/usr",
                                                    "/var", "/opt", "/sbin", "/lib"};

} // namespace

Changes Planner::changes_of(const PlannerInput& input) noexcept {
    const auto& top = input.roots.back();
    if (top.writable) {
        return top.overlay ? Changes::overlay : Changes::image;
    }
    return input.request.writable == join::Switch::on ? Changes::memory : Changes::none;
}

MissingPoints Planner::missing_points(const PlannerInput& input, Changes changes) noexcept {
    if (changes == Changes::none) {
        return MissingPoints::layered;
    }
    return changes == Changes::image && !input.roots.front().own ? MissingPoints::refused
                                                                 : MissingPoints::made;
}

bool Planner::unwanted(std::string_view name) const {
    return std::find(request_.no_mount.begin(), request_.no_mount.end(), name) !=
           request_.no_mount.end();
}

/// Errors of what the user asked for stop the start; others become warnings.
Result<void> Planner::tolerate(Origin origin, Result<void> outcome) {
    if (outcome || origin == Origin::user) {
        return outcome;
    }
    plan_.warnings.push_back(fmt::format("{} (left out)", outcome.error().message));
    return {};
}

void Planner::push(Operation operation) {
    targets_.cover(operation);
    plan_.operations.push_back(std::move(operation));
}

/// What the host has there, which the user can use. Also for what is not mounted because the
/// container shows it already: a path that somebody gave and that is missing is an error either
/// way.
Result<HostEntry> Planner::open_source(const Bind& bind) {
    auto entry =
        bind.opened != nullptr ? Result<HostEntry>(*bind.opened) : in_.host.open(bind.source);
    if (!entry) {
        auto error =
            std::move(entry).error().context(fmt::format("mount {}", in_quotes(bind.written)));
        return Unexpected(std::move(error).with_hint(
            request_.job_id != 0 ? "check the path on the compute node" : "check the path"));
    }
    if (!entry->readable) {
        return fail(Code::mount_source_missing,
                    fmt::format("mount {}: no permission to use {}", in_quotes(bind.written),
                                in_quotes(bind.source)),
                    "ask its owner for access");
    }
    if (bind.directory && entry->kind != EntryKind::directory) {
        return fail(Code::mount_source_missing,
                    fmt::format("mount {}: {} is not a directory", in_quotes(bind.written),
                                in_quotes(bind.source)),
                    request_.job_id != 0 ? "name a directory of the compute node" : "name a directory");
    }
    return entry;
}

Result<void> Planner::add_bind(const Bind& bind) {
    const auto entry = open_source(bind);
    if (!entry) {
        const auto& error = entry.error();
        const bool absent = error.code == Code::mount_source_missing && error.sys_errno != 0;
        return bind.only_if_present && absent ? Result<void>()
                                              : tolerate(bind.origin, Unexpected(error));
    }
    // A symlink in the user's own image is not replaced: what it leads to is mounted on.
    auto place = targets_.place(bind.target, entry->kind,
                                bind.replace_link && changes_ != Changes::image);
    if (!place) {
        return tolerate(bind.origin, Unexpected(std::move(place).error().context(
                                         fmt::format("mount {}", in_quotes(bind.written)))));
    }
    Operation operation;
    operation.kind = Operation::Kind::bind;
    operation.origin = bind.origin;
    operation.target = std::move(place->path);
    operation.source = bind.source;
    operation.handle = entry->handle;
    operation.shape = entry->kind;
    operation.readonly = bind.readonly;
    operation.noexec = bind.noexec;
    operation.nodev = bind.nodev && !entry->device && !base::is_beneath(bind.source, "/dev");
    operation.private_propagation = bind.private_propagation;
    operation.own = bind.own;
    operation.create = place->create;
    push(std::move(operation));
    return {};
}

Result<void> Planner::add_tmpfs(const std::string& target, std::uint32_t mode, Origin origin,
                                const std::string& written, bool nodev) {
    auto place = targets_.place(target, EntryKind::directory);
    if (!place) {
        return tolerate(origin, Unexpected(std::move(place).error().context(
                                    fmt::format("mount {}", in_quotes(written)))));
    }
    Operation operation;
    operation.kind = Operation::Kind::tmpfs;
    operation.origin = origin;
    operation.target = std::move(place->path);
    operation.create = place->create;
    operation.mode = mode;
    operation.size = in_.site.tmpfs_size;
    operation.nodev = nodev;
    push(std::move(operation));
    return {};
}

/// A directory that is empty and the container's own: in memory, or that part of the work area.
Result<void> Planner::add_private(const std::string& target, std::uint32_t mode, Origin origin,
                                  const std::string& written, std::string_view part) {
    if (request_.work_area.empty()) {
        return add_tmpfs(target, mode, origin, written);
    }
    return add_bind({.source = work_area_part(request_, part),
                     .target = target,
                     .origin = Origin::user,
                     .written = written,
                     .directory = true,
                     .own = true});
}

/// A generated file: part of a writable root, where package managers and useradd change it and put
/// others in its place, else mounted.
Result<void> Planner::add_file(const std::string& target, std::string content) {
    Operation operation;
    operation.kind = Operation::Kind::file;
    operation.shape = EntryKind::file;
    operation.readonly = true;
    operation.mode = 0644;
    operation.content = std::move(content);
    if (writable_) {
        return add_written(target, std::move(operation));
    }
    auto place = targets_.place(target, EntryKind::file, changes_ != Changes::image);
    if (!place) {
        return tolerate(Origin::system, Unexpected(std::move(place).error().context(
                                            fmt::format("mount {}", in_quotes(target)))));
    }
    operation.target = std::move(place->path);
    operation.create = place->create;
    push(std::move(operation));
    return {};
}

/// The same for a file of the host, if it has it.
Result<void> Planner::add_host_file(const std::string& path) {
    if (!writable_) {
        return add_bind({.source = path,
                         .target = path,
                         .written = path,
                         .readonly = true,
                         .replace_link = true,
                         .only_if_present = true});
    }
    const auto entry = in_.host.open(path);
    if (!entry || entry->kind != EntryKind::file || !entry->readable) {
        return {};
    }
    Operation operation;
    operation.kind = Operation::Kind::bind;
    operation.shape = EntryKind::file;
    operation.source = path;
    operation.handle = entry->handle;
    operation.readonly = true;
    operation.mode = 0644;
    return add_written(path, std::move(operation));
}

/// Puts what would be mounted into the writable root; on top of a directory of the host it stays a
/// mount, as nothing may be written there.
Result<void> Planner::add_written(const std::string& target, Operation operation) {
    auto place = targets_.place(target, EntryKind::file, true);
    if (!place) {
        return tolerate(Origin::system, Unexpected(std::move(place).error().context(
                                            fmt::format("write {}", in_quotes(target)))));
    }
    operation.target = std::move(place->path);
    operation.create = place->create;
    if (place->cover != nullptr) {
        push(std::move(operation));
        return {};
    }
    operation.kind = Operation::Kind::write;
    targets_.written(operation.target);
    plan_.operations.push_back(std::move(operation));
    return {};
}

/// --home SRC[:DST], else the passwd home at its own path.
Result<void> Planner::read_home() {
    home_source_ = in_.user.host_home.empty() ? in_.user.home : in_.user.host_home;
    plan_.home = in_.user.home;
    if (request_.home.empty()) {
        return {};
    }
    const auto parts = base::split(request_.home, ':');
    if (parts.size() > 2 || parts[0].empty()) {
        return fail(Code::option_invalid,
                    fmt::format("home {} has too many or too few parts", in_quotes(request_.home)),
                    "write SRC or SRC:DST");
    }
    home_given_ = true;
    home_source_ =
        parts[0].front() == '/' ? std::string(parts[0]) : base::join_path(request_.cwd, parts[0]);
    plan_.home = parts.size() == 2 ? std::string(parts[1]) : base::clean_path(home_source_);
    TRY(join::check_target(plan_.home, request_.home));
    plan_.home = base::clean_path(plan_.home);
    return {};
}

Result<void> Planner::add_temporary_directories() {
    if (unwanted("tmp")) {
        return {};
    }
    for (const auto& [path, part] : {std::pair{"/tmp", "tmp"}, std::pair{"/var/tmp", "var_tmp"}}) {
        if (in_the_way_of(path) != nullptr) {
            continue; // the image has a symlink: one mount serves both, that of /tmp
        }
        if (contained_) {
            TRY(add_private(path, 01777, Origin::system, path, part));
        } else if (in_.site.mount_tmp) {
            TRY(add_bind({.source = path, .target = path, .written = path}));
        }
    }
    return {};
}

bool Planner::host_path_visible(const std::string& path) const {
    const auto place = targets_.canonical(path);
    const auto* cover = place ? targets_.covering(*place) : nullptr;
    return cover != nullptr && cover->kind == Operation::Kind::bind &&
           base::clean_path(cover->source + place->substr(cover->target.size())) ==
               base::clean_path(path);
}

/// The mount that one at `target` would hide, or that shows something else there already, because a
/// symlink of the image leads the one to the other. Nobody has asked for a default mount by name:
/// among them the first one stays.
const Operation* Planner::in_the_way_of(const std::string& target) const {
    const auto place = targets_.canonical(target);
    for (const auto& operation : plan_.operations) {
        if (place &&
            (base::is_beneath(operation.target, *place) ||
             (*place != base::clean_path(target) && base::is_beneath(*place, operation.target)))) {
            return &operation;
        }
    }
    return nullptr;
}

Result<void> Planner::add_home() {
    const bool wanted =
        request_.mount_home == join::Switch::on ||
        (request_.mount_home == join::Switch::site_default && in_.site.mount_home) || home_given_;
    if (!wanted || request_.mount_home == join::Switch::off || unwanted("home")) {
        return {};
    }
    const bool asked = home_given_ || request_.mount_home == join::Switch::on;
    Bind home{.source = home_source_,
              .target = plan_.home,
              .origin = asked ? Origin::user : Origin::system,
              .written = request_.home.empty() ? plan_.home : request_.home,
              .directory = true};
    if (asked) {
        TRY(open_source(home));
    }
    if (plan_.home == "/") {
        plan_.warnings.emplace_back("the home directory is '/', which is not mounted");
        return {};
    }
    if (home_source_ == plan_.home && host_path_visible(plan_.home)) {
        return {};
    }
    if (const auto* other = asked ? nullptr : in_the_way_of(plan_.home)) {
        if (other->target != base::clean_path(plan_.home)) {
            plan_.warnings.push_back(
                fmt::format("the home directory {} is not mounted: in this image that is where {} "
                            "is",
                            in_quotes(plan_.home), in_quotes(other->target)));
        }
        return {};
    }
    // Where the image is written to, a missing place for the home directory stops the start: files
    // that are meant for it would land in the image. A node without that directory is as ever.
    const bool place_needed = changes_ == Changes::image;
    if (contained_ && !asked) {
        return add_private(plan_.home, 0700, place_needed ? Origin::user : Origin::system,
                           plan_.home, "home");
    }
    if (place_needed && open_source(home)) {
        home.origin = Origin::user;
    }
    return add_bind(home);
}

Result<void> Planner::add_site_binds() {
    if (contained_ || unwanted("bind-paths")) {
        return {};
    }
    for (const auto& text : in_.site.bind) {
        auto specs = join::parse_mounts({join::MountSyntax::bind, text}, "/");
        if (!specs) {
            TRY(tolerate(Origin::site, Unexpected(std::move(specs).error())));
            continue;
        }
        for (const auto& spec : *specs) {
            if (!unwanted(spec.target)) {
                TRY(add_bind({.source = spec.source,
                              .target = spec.target,
                              .origin = Origin::site,
                              .written = text,
                              .readonly = spec.readonly}));
            }
        }
    }
    return {};
}

Result<void> Planner::add_scratch() {
    for (const auto& path : request_.scratch) {
        TRY(join::check_target(path, path));
        const auto target = base::clean_path(path);
        TRY(add_private(target, 0755, Origin::user, path, "scratch" + target));
    }
    return {};
}

Result<void> Planner::add_user_mounts() {
    for (const auto& mount : request_.mounts) {
        TRY_ASSIGN(const auto specs, join::parse_mounts(mount, request_.cwd));
        for (const auto& spec : specs) {
            mounted_.push_back(spec.target);
            if (spec.kind == join::MountSpec::Kind::tmpfs) {
                TRY(add_tmpfs(spec.target, 0755, Origin::user, spec.written));
                continue;
            }
            TRY(add_bind({.source = spec.source,
                          .target = spec.target,
                          .origin = Origin::user,
                          .written = spec.written,
                          .readonly = spec.readonly,
                          .noexec = spec.noexec,
                          .private_propagation = spec.private_propagation,
                          .only_if_present = spec.optional}));
        }
    }
    return {};
}

Result<void> Planner::add_cwd() {
    const auto& cwd = request_.cwd;
    if (contained_ || !in_.site.mount_cwd || unwanted("cwd") || cwd.empty() || cwd.front() != '/' ||
        std::find(never_cwd.begin(), never_cwd.end(), cwd) != never_cwd.end() || cwd == "/lib64" ||
        base::is_beneath(cwd, "/sys") || base::is_beneath(cwd, "/proc") ||
        base::is_beneath(cwd, "/dev")) {
        return {};
    }
    const auto canonical = targets_.canonical(cwd);
    if (!canonical || *canonical != base::clean_path(cwd) || targets_.covering(cwd) != nullptr) {
        return {}; // a symlink elsewhere in the image, or shown (or hidden on purpose) already
    }
    auto entry = in_.host.open(cwd);
    auto place = entry && entry->kind == EntryKind::directory && entry->readable
                     ? targets_.place(cwd, EntryKind::directory)
                     : Result<Targets::Place>(fail(Code::mount_source_missing, ""));
    if (!place) {
        return {}; // choose_cwd() of container.cpp reports what it takes instead
    }
    Operation operation;
    operation.target = std::move(place->path);
    operation.source = cwd;
    operation.handle = entry->handle;
    operation.create = place->create;
    push(std::move(operation));
    return {};
}

Result<void> Planner::add_required_files() {
    for (const auto& path : request_.required_files) {
        TRY(join::check_target(path, path));
        const Bind file{.source = path,
                        .target = path,
                        .origin = Origin::user,
                        .written = path,
                        .readonly = true};
        TRY(open_source(file));
        if (!host_path_visible(path)) {
            TRY(add_bind(file));
        }
    }
    return {};
}

void Planner::choose_cwd() {
    plan_.cwd_asked_for = !request_.workdir.empty();
    plan_.cwd = plan_.cwd_asked_for ? request_.workdir : contained_ ? plan_.home : request_.cwd;
    if (plan_.cwd.empty() || plan_.cwd.front() != '/') {
        plan_.cwd = base::join_path("/", plan_.cwd);
    }
}

void Planner::plan_variables() {
    const ContainerNames names{in_.roots.front().path, request_.reference, plan_.home, mounted_,
                               in_.user.uid,           in_.user.gid};
    plan_.environment = plan_environment(request_, in_.site.env, names, plan_.warnings);
    plan_.environment.host.insert(edits_.environment.begin(), edits_.environment.end());
    plan_.environment.library_directories = edits_.library_directories;
}

Result<Plan> Planner::make() {
    plan_.roots = in_.roots;
    plan_.changes = changes_;
    plan_.namespaces = request_.namespaces;
    plan_.writable_size = in_.site.tmpfs_size;
    TRY(read_home());
    TRY(add_kernel_directories());
    TRY(add_temporary_directories());
    TRY(add_home());
    TRY(add_etc_files());
    TRY(add_site_binds());
    TRY(add_gpu());
    TRY(add_scratch());
    TRY(add_user_mounts());
    TRY(add_cwd());
    TRY(add_required_files());
    TRY_ASSIGN(plan_.underlays, targets_.underlays());
    choose_cwd();
    plan_variables();
    return std::move(plan_);
}

Result<Plan> make_plan(const PlannerInput& input) {
    return Planner(input).make();
}

} // namespace slipway::launcher
