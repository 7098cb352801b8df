// SPDX-License-Identifier: Apache-2.0
#include "base/format.hpp"
#include "launcher/planner_impl.hpp"

#include <array>

namespace slipway::launcher {
namespace {

using base::Result;

constexpr std::size_t max_identity_file = 4U << 20U;

} // namespace

/// A file system of the kernel's that shows what belongs to a namespace of the container.
Result<void> Planner::add_filesystem(Operation::Kind kind, const std::string& target) {
    TRY_ASSIGN(auto place, targets_.place(target, EntryKind::directory));
    Operation operation;
    operation.kind = kind;
    operation.origin = Origin::user; // the host's in its place would break what was asked for
    operation.target = std::move(place.path);
    operation.create = place.create;
    operation.noexec = true;
    push(std::move(operation));
    return {};
}

bool Planner::has_own_dev() const {
    return !unwanted("dev") &&
           (contained_ || in_.site.mount_dev == config::DeviceMode::minimal);
}

Result<void> Planner::add_kernel_directories() {
    if (!unwanted("proc")) {
        TRY(request_.namespaces.pid
                ? add_filesystem(Operation::Kind::proc, "/proc")
                : add_bind({.source = "/proc", .target = "/proc", .written = "/proc"}));
    }
    if (!unwanted("sys")) {
        TRY(add_sys());
    }
    if (unwanted("dev")) {
        return {};
    }
    if (has_own_dev()) {
        return add_minimal_dev();
    }
    TRY(add_bind({.source = "/dev", .target = "/dev", .written = "/dev", .nodev = false}));
    return request_.namespaces.ipc && in_.host.open("/dev/mqueue") ? add_message_queues()
                                                                  : Result<void>();
}

/// A new one shows the new network's devices; the control groups are those of the node still.
Result<void> Planner::add_sys() {
    if (!request_.namespaces.network) {
        return add_bind({.source = "/sys", .target = "/sys", .written = "/sys"});
    }
    TRY(add_filesystem(Operation::Kind::sysfs, "/sys"));
    return add_bind({.source = "/sys/fs/cgroup",
                     .target = "/sys/fs/cgroup",
                     .written = "/sys/fs/cgroup",
                     .only_if_present = true});
}

Result<void> Planner::add_message_queues() {
    return request_.namespaces.ipc ? add_filesystem(Operation::Kind::mqueue, "/dev/mqueue")
                                   : add_bind({.source = "/dev/mqueue",
                                               .target = "/dev/mqueue",
                                               .written = "/dev/mqueue",
                                               .only_if_present = true});
}

Result<void> Planner::add_minimal_dev() {
    TRY(add_tmpfs("/dev", 0755, Origin::system, "/dev"));
    for (const char* name : {"null", "zero", "full", "random", "urandom", "tty"}) {
        const auto path = fmt::format("/dev/{}", name);
        TRY(add_bind({.source = path, .target = path, .written = path, .only_if_present = true}));
    }
    static constexpr std::array<std::pair<const char*, const char*>, 5> links{{
        {"/dev/fd", "/proc/self/fd"},
        {"/dev/stdin", "/proc/self/fd/0"},
        {"/dev/stdout", "/proc/self/fd/1"},
        {"/dev/stderr", "/proc/self/fd/2"},
        {"/dev/ptmx", "pts/ptmx"},
    }};
    for (const auto& [path, link] : links) {
        Operation operation;
        operation.kind = Operation::Kind::symlink;
        operation.target = path;
        operation.source = link;
        operation.shape = EntryKind::file;
        push(std::move(operation));
    }
    TRY(add_tmpfs("/dev/shm", 01777, Origin::system, "/dev/shm"));
    TRY(add_message_queues());
    if (!unwanted("devpts")) {
        Operation pts;
        pts.kind = Operation::Kind::devpts;
        pts.target = "/dev/pts";
        pts.create = Create::directory;
        pts.nodev = false;
        push(std::move(pts));
    }
    return {};
}

Result<void> Planner::add_etc_files() {
    for (const char* path : {"/etc/hosts", "/etc/localtime"}) {
        if (!unwanted("bind-paths") && !unwanted(path)) {
            TRY(add_host_file(path));
        }
    }
    TRY(add_resolver());
    if (!request_.namespaces.hostname.empty() && !unwanted("/etc/hostname")) {
        TRY(add_file("/etc/hostname", request_.namespaces.hostname + "\n"));
    }
    if (in_.site.passwd && !unwanted("/etc/passwd")) {
        const auto text = in_.image.read("/etc/passwd", max_identity_file)
                              .value_or("root:x:0:0:root:/root:/bin/sh\n");
        TRY(add_file("/etc/passwd", passwd_text(text, in_.user, plan_.home)));
    }
    if (in_.site.group && !unwanted("/etc/group")) {
        const auto text = in_.image.read("/etc/group", max_identity_file).value_or("root:x:0:\n");
        TRY(add_file("/etc/group", group_text(text, in_.user)));
    }
    return {};
}

Result<void> Planner::add_resolver() {
    constexpr const char* path = "/etc/resolv.conf";
    if (unwanted(path)) {
        return {};
    }
    if (request_.dns.empty()) {
        return in_.site.resolv_conf ? add_host_file(path) : Result<void>();
    }
    std::string text;
    for (const auto& address : request_.dns) {
        text += fmt::format("nameserver {}\n", address);
    }
    return add_file(path, std::move(text));
}

} // namespace slipway::launcher
