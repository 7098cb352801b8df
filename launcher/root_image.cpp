// SPDX-License-Identifier: Apache-2.0
#include "launcher/root_image.hpp"

#include "base/format.hpp"
#include "base/path.hpp"
#include "base/text.hpp"
#include "image/stored_image.hpp"
#include "launcher/image_server/report.hpp"
#include "launcher/image_server/server.hpp"
#include "launcher/keeper.hpp"
#include "launcher/mount_calls.hpp"
#include "launcher/namespaces.hpp"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <iterator>

namespace slipway::launcher {
namespace {

using base::Child;
using base::Code;
using base::fail;
using base::fail_errno;
using base::in_quotes;
using base::Result;
using base::Unexpected;
using base::UniqueFd;

/// As many as overlayfs can be told of in one setting, which holds 255 characters.
constexpr std::size_t max_overlays = 12;

constexpr const char* fuse_path = "/dev/fuse";

struct Server {
    UniqueFd fuse;
    Child child;      ///< when it dies with us
    Child middle;     ///< else the process that forked it and ends at once
    UniqueFd control; ///< its report comes from here, a byte lets it begin; closing it ends it
};

/// Runs in the new process; never comes back.
[[noreturn]] void become_server(const RootImage& root, const image_server::ServerOptions& options,
                                int null_fd) {
    // Not in the caller's directory, session or pipes: none of them may be kept busy.
    if (::setsid() < 0 || ::chdir("/") != 0) {
        ::_exit(static_cast<int>(image_server::ServerExit::sandbox));
    }
    for (int number = 0; number <= 2 && null_fd >= 0; ++number) {
        ::dup2(null_fd, number);
    }
    image_server::serve({root.image.fd.get(), root.image.size, root.path}, options);
}

Result<Server> fork_server(const RootImage& root, const MountRootsOptions& mount_options) {
    Server server;
    TRY_ASSIGN(server.fuse, mount_options.open_fuse());
    TRY_ASSIGN(auto ends, base::packet_pair());
    server.control = std::move(ends.first);
    image_server::ServerOptions options;
    options.fuse_fd = server.fuse.get();
    options.threads = mount_options.server_threads;
    options.report_uid = ::geteuid();
    options.report_gid = ::getegid();
    options.control_fd = ends.second.get();
    const pid_t parent = ::getpid();
    if (mount_options.server_dies_with_us) {
        TRY_ASSIGN(server.child, fork_from_keeper([&]() -> int {
                       server.control.reset();
                       // The death signal comes for a parent that ends from now on; one that ended
                       // before is seen by getppid().
                       if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || ::getppid() != parent) {
                           return static_cast<int>(image_server::ServerExit::sandbox);
                       }
                       become_server(root, options, mount_options.null_fd);
                   }));
        return server;
    }
    // Two forks: the server must not be a child of the user's command, which may wait for children.
    TRY_ASSIGN(server.middle, Child::fork([&]() -> int {
                   server.control.reset();
                   const pid_t pid = ::fork();
                   if (pid == 0) {
                       become_server(root, options, mount_options.null_fd);
                   }
                   return pid > 0 ? 0 : 1;
               }));
    return server;
}

Result<UniqueFd> mount_fuse(int fuse_fd) {
    auto mount = new_filesystem("fuse",
                                {{"source", "slipway"},
                                 {"ro", ""},
                                 {"fd", std::to_string(fuse_fd)},
                                 {"rootmode", "40000"},
                                 {"user_id", std::to_string(::geteuid())},
                                 {"group_id", std::to_string(::getegid())},
                                 {"allow_other", ""},
                                 {"default_permissions", ""}},
                                {.readonly = true});
    if (mount) {
        return mount;
    }
    auto error = std::move(mount).error();
    if (error.sys_errno == ENODEV) {
        return fail_errno(Code::fuse_unavailable, ENODEV, "cannot mount the image",
                          "the kernel module fuse is not loaded; the administrator can load it");
    }
    if (error.sys_errno == EPERM || error.sys_errno == EACCES) {
        return Unexpected(userns_error(error.sys_errno, "cannot mount the image"));
    }
    return Unexpected(std::move(error));
}

base::Unexpected server_is_gone(int err) {
    return fail_errno(Code::launcher_failed, err, "the process that serves the image is gone",
                      "look for a killed process slipway in the system log");
}

/// The kernel reads ext3 only for root: a damaged file system could take it over.
Result<void> require_overlay(const image::ImageFile& file, const std::string& name) {
    for (const auto& part : file.roots) {
        if (part.fs == image::SifFs::ext3) {
            return fail(Code::image_unsupported,
                        fmt::format("the overlay {} is an ext3 file system, which the kernel mounts "
                                    "for root only",
                                    in_quotes(name)),
                        "use --overlay DIRECTORY to keep changes; debugfs -R 'rdump / DIR' takes "
                        "the files out, and mksquashfs makes a read-only overlay of them");
        }
    }
    return {};
}

/// Takes the server's report and lets it serve, when the image can run here.
Result<void> start_server(int control, const RootImage& root) {
    TRY_ASSIGN(const auto packet, base::recv_packet(control, image_server::max_report_bytes));
    if (packet.end_of_stream) {
        return server_is_gone(EPIPE);
    }
    TRY_ASSIGN(const auto file, image_server::decode_report(packet.body));
    if (root.overlay) {
        TRY(require_overlay(file, root.name));
    }
    TRY(image::require_runnable(file, root.name, image::host_architecture()));
    // The socket raises no SIGPIPE for a server that has died.
    if (::send(control, "", 1, MSG_NOSIGNAL) != 1) {
        return server_is_gone(errno);
    }
    return {};
}

Result<UniqueFd> mount_squashfs(const RootImage& root, Server& server) {
    TRY_ASSIGN(auto mount, mount_fuse(server.fuse.get()));
    if (server.middle.running()) {
        TRY_ASSIGN(const int status, server.middle.wait());
        if (status != 0) {
            return fail(Code::system, "cannot create the process that serves the image",
                        "too many processes or too little memory on this node");
        }
    }
    TRY(start_server(server.control.get(), root));
    return mount;
}

Result<UniqueFd> mount_directory(const RootImage& root) {
    // The descriptor belongs to the mount namespace that was left: only a path can be cloned here.
    auto tree = clone_tree(root.path);
    if (!tree) {
        return Unexpected(std::move(tree).error());
    }
    struct stat opened {};
    struct stat cloned {};
    if (::fstat(root.image.fd.get(), &opened) != 0 || ::fstat(tree->get(), &cloned) != 0 ||
        opened.st_dev != cloned.st_dev || opened.st_ino != cloned.st_ino) {
        return fail(Code::image_not_found,
                    fmt::format("the image {} was replaced just now", in_quotes(root.path)),
                    "try again");
    }
    TRY(restrict_tree(tree->get(), {.readonly = !root.writable}, root.path));
    return tree;
}

/// What staging has made. The site's store is whose it is; any other one is the user's own, or else
/// somebody has put theirs in its way.
Result<RootImage> open_staged_image(const join::Request& request, const std::string& site) {
    const bool own = !request.image_store.empty();
    const auto& store = own ? request.image_store : site;
    if (store.empty()) {
        return fail(Code::image_not_found, "this node's site file names no store (store.path)",
                    "the administrator gives every node the same site file");
    }
    RootImage root;
    root.path = image::stored_image_path(store, request.image_id);
    root.name = request.reference.empty() ? root.path : request.reference;
    TRY_ASSIGN(root.image,
               image::open_stored_image(store, request.image_id,
                                        own ? std::optional(::geteuid()) : std::nullopt));
    return root;
}

std::string absolute(const std::string& path, const std::string& cwd) {
    return path.starts_with('/') ? path : base::join_path(cwd, path);
}

Result<RootImage> open_overlay(const join::OverlayRequest& asked, const std::string& cwd) {
    RootImage root;
    root.path = absolute(asked.path, cwd);
    root.name = asked.path;
    root.overlay = true;
    auto opened = image::open_image(root.path);
    if (!opened) {
        auto error = std::move(opened).error().context("overlay " + in_quotes(asked.path));
        return Unexpected(error.code == Code::image_not_found
                              ? std::move(error).with_hint("make the directory first, or name a "
                                                           "SquashFS or SIF file")
                              : std::move(error));
    }
    root.image = std::move(*opened);
    root.writable = root.image.directory && !asked.readonly;
    return root;
}

/// Lowest first. Overlayfs has what takes the changes on top of everything else.
Result<void> add_overlays(const join::Request& request, std::vector<RootImage>& roots) {
    std::vector<RootImage> writable;
    for (auto asked = request.overlays.rbegin(); asked != request.overlays.rend(); ++asked) {
        TRY_ASSIGN(auto root, open_overlay(*asked, request.cwd));
        (root.writable ? writable : roots).push_back(std::move(root));
    }
    if (writable.size() > 1) {
        return fail(Code::usage,
                    fmt::format("the overlays {} and {} would both be writable",
                                in_quotes(writable[1].name), in_quotes(writable[0].name)),
                    "add :ro to all but one");
    }
    std::move(writable.begin(), writable.end(), std::back_inserter(roots));
    return {};
}

/// Changes go to one place.
Result<void> check_changes(const join::Request& request, const std::vector<RootImage>& roots) {
    const bool memory = request.writable == join::Switch::on;
    const auto& image = roots.front();
    const auto& top = roots.back();
    if (top.overlay && top.writable && memory) {
        return fail(Code::usage,
                    fmt::format("the overlay {} is writable, and --writable-tmpfs would keep changes "
                                "in memory",
                                in_quotes(top.name)),
                    "add :ro to the overlay, or leave out --writable-tmpfs and --compat");
    }
    if (!image.writable) {
        return {};
    }
    if (!image.image.directory) {
        return fail(Code::usage,
                    fmt::format("--writable: the image {} is a file, and only directories can be "
                                "written to",
                                in_quotes(image.name)),
                    "use --overlay DIRECTORY to keep changes, or --writable-tmpfs for one run");
    }
    if (memory || roots.size() > 1) {
        return fail(Code::usage,
                    fmt::format("--writable writes into the image itself and {}",
                                memory ? "--writable-tmpfs into memory" : "takes no overlay over it"),
                    memory ? "leave one of them out" : "leave out --writable or --overlay");
    }
    return {};
}

} // namespace

Result<std::vector<RootImage>> open_root_images(const join::Request& request,
                                                const config::Config& config) {
    if (request.overlays.size() > max_overlays) {
        return fail(Code::limit_exceeded,
                    fmt::format("{} overlays are too many", request.overlays.size()),
                    fmt::format("at most {} can be used at once", max_overlays));
    }
    RootImage root;
    if (!request.image_id.empty()) {
        TRY_ASSIGN(root, open_staged_image(request, config.store.path));
    } else {
        root.path = absolute(request.image, request.cwd);
        root.name = request.image;
        TRY_ASSIGN(root.image, image::open_image(root.path));
    }
    root.writable = request.write_image;
    std::vector<RootImage> roots;
    roots.push_back(std::move(root));
    TRY(add_overlays(request, roots));
    TRY(check_changes(request, roots));
    return roots;
}

Result<UniqueFd> open_fuse_device() {
    UniqueFd fd(::open(fuse_path, O_RDWR | O_CLOEXEC));
    if (fd) {
        return fd;
    }
    const int err = errno;
    const char* hint = err == ENOENT || err == ENODEV || err == ENXIO
                           ? "the kernel module fuse is not loaded; the administrator can load it"
                           : "the administrator can allow it with chmod 0666 /dev/fuse";
    return fail_errno(Code::fuse_unavailable, err, fmt::format("cannot open {}", fuse_path), hint);
}

Result<MountedRoots> mount_roots(std::span<const RootImage> roots,
                                 const MountRootsOptions& options) {
    std::vector<Server> servers(roots.size());
    for (std::size_t i = 0; i < roots.size(); ++i) {
        if (!roots[i].image.directory) {
            TRY_ASSIGN(servers[i], fork_server(roots[i], options));
        }
    }
    TRY(enter_own_mount_namespace());
    MountedRoots mounted;
    for (std::size_t i = 0; i < roots.size(); ++i) {
        TRY_ASSIGN(auto mount, roots[i].image.directory ? mount_directory(roots[i])
                                                        : mount_squashfs(roots[i], servers[i]));
        mounted.mounts.push_back(std::move(mount));
        if (servers[i].child.running()) {
            mounted.servers.push_back(std::move(servers[i].child));
        }
    }
    return mounted;
}

} // namespace slipway::launcher
