// SPDX-License-Identifier: Apache-2.0
#include "launcher/executor.hpp"

#include "base/format.hpp"
#include "base/path.hpp"
#include "base/text.hpp"
#include "launcher/mount_calls.hpp"
#include "launcher/root_layers.hpp"
#include "launcher/stage.hpp"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace slipway::launcher {
namespace {

using base::Code;
using base::fail;
using base::fail_errno;
using base::in_quotes;
using base::Result;
using base::Unexpected;
using base::UniqueFd;

/// Entries of one directory that are bound back where no overlay can be had.
constexpr std::size_t max_bound_back = 1024;
/// Of a host's file that is copied; /etc/hosts of a large site is the longest.
constexpr std::size_t max_copied_bytes = 16U << 20U;

/// Makes a directory or an empty file `path` below `dir`, with its parents; what exists is kept.
/// Every step stays below `dir` and follows no symlink, except where `in_root` asks to resolve them
/// inside it.
Result<void> make_point(int dir, const std::string& path, EntryKind kind, bool in_root) {
    const auto parts = base::components(path);
    const std::uint64_t resolve =
        (in_root ? RESOLVE_IN_ROOT : RESOLVE_BENEATH) | RESOLVE_NO_MAGICLINKS;
    std::string parent = ".";
    for (std::size_t i = 0; i < parts.size(); ++i) {
        TRY_ASSIGN(const auto at, base::open_resolved(dir, parent, O_PATH | O_DIRECTORY, resolve));
        const bool last = i + 1 == parts.size();
        int made = 0;
        if (last && kind == EntryKind::file) {
            const UniqueFd file(::openat(at.get(), parts[i].c_str(),
                                         O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_WRONLY,
                                         0644));
            made = file ? 0 : -1;
        } else {
            made = ::mkdirat(at.get(), parts[i].c_str(), 0755);
        }
        if (made != 0 && errno != EEXIST) {
            return fail_errno(Code::mount_failed, errno,
                              fmt::format("cannot make the mount point {}", in_quotes(path)));
        }
        parent = base::join_path(parent, parts[i]);
    }
    return {};
}

/// The kernel refuses a new one where something is mounted on parts of the node's.
Result<UniqueFd> kernel_filesystem(const std::string& type, const std::string& target,
                                   const MountFlags& flags) {
    auto made = new_filesystem(type, {{"source", "slipway"}}, flags);
    if (!made && made.error().sys_errno == EPERM) {
        return Unexpected(std::move(made).error().with_hint(
            fmt::format("parts of the node's {0} may be hidden by mounts, as in other containers; "
                        "leave it out with --no-mount {0}, or do not ask for the namespace",
                        base::base_name(target))));
    }
    return made;
}

class Executor {
  public:
    Executor(const Plan& plan, UniqueFd image, const MountableHost& host,
             const std::function<void(std::string_view)>& warn)
        : plan_(plan), host_(host), warn_(warn), image_(std::move(image)) {}

    Result<void> run();

  private:
    Result<void> make_root();
    Result<void> add_underlay(const Underlay& layer);
    Result<UniqueFd> rebuilt(const Underlay& layer, int image_dir);
    Result<UniqueFd> layered(const Underlay& layer, int image_dir);
    Result<void> bring_back(const Underlay& layer, int image_dir, int skeleton);
    Result<void> apply(const Operation& operation);
    Result<UniqueFd> mount_for(const Operation& operation);
    Result<UniqueFd> file_for(const Operation& operation);
    Result<void> make_link(const Operation& operation);
    Result<void> write_file(const Operation& operation);
    Result<void> write_into_root(const Operation& operation);
    Result<UniqueFd> target_of(const Operation& operation);

    const Plan& plan_;
    const MountableHost& host_;
    const std::function<void(std::string_view)>& warn_;
    UniqueFd stage_; ///< tmpfs for mount points and generated files; out of sight after the end
    UniqueFd image_; ///< what all roots come to, writable or not
    UniqueFd root_;  ///< the container's root, attached in the stage
    int counter_ = 0;
};

Result<void> Executor::make_root() {
    TRY_ASSIGN(const auto place, stage_directory(stage_.get(), "image"));
    TRY(attach(image_.get(), place.get(), "the image"));
    if (plan_.changes == Changes::memory) {
        TRY_ASSIGN(image_, lay_memory(stage_.get(), image_.get(), plan_.writable_size));
        TRY_ASSIGN(const auto over, stage_directory(stage_.get(), "root"));
        TRY(attach(image_.get(), over.get(), "the root directory"));
    }
    TRY_ASSIGN(root_, base::duplicate(image_.get()));
    for (const auto& layer : plan_.underlays) {
        auto done = add_underlay(layer);
        if (!done) {
            return Unexpected(std::move(done).error().context(
                fmt::format("cannot make mount points in {}", in_quotes(layer.target))));
        }
    }
    return {};
}

/// A tmpfs, attached so that things can be mounted in it, with the mount points and the image's own
/// entries.
Result<UniqueFd> Executor::rebuilt(const Underlay& layer, int image_dir) {
    TRY_ASSIGN(
        auto skeleton,
        new_filesystem("tmpfs", {{"source", "slipway"}, {"mode", "0755"}, {"size", "16m"}}, {}));
    TRY_ASSIGN(const auto place,
               stage_directory(stage_.get(), fmt::format("layer{}", counter_++)));
    TRY(attach(skeleton.get(), place.get(), layer.target));
    for (const auto& [path, kind] : layer.make) {
        TRY(make_point(skeleton.get(), path, kind, false));
    }
    TRY(bring_back(layer, image_dir, skeleton.get()));
    TRY(make_readonly(skeleton.get(), layer.target));
    return skeleton;
}

/// An overlay where the kernel can: it refuses images that already lie on two overlays (a container
/// in a container). Then every entry is bound back, within reason.
Result<UniqueFd> Executor::layered(const Underlay& layer, int image_dir) {
    TRY_ASSIGN(const auto skeleton,
               stage_directory(stage_.get(), fmt::format("layer{}", counter_++)));
    for (const auto& [path, kind] : layer.make) {
        TRY(make_point(skeleton.get(), path, kind, false));
    }
    auto overlay = new_filesystem(
        "overlay",
        {{"source", "slipway"},
         {"lowerdir", fmt::format("/proc/self/fd/{}:/proc/self/fd/{}", skeleton.get(), image_dir)}},
        {.readonly = true});
    if (overlay) {
        return overlay;
    }
    auto names = MountedImage(image_.get()).list(layer.target, max_bound_back);
    if (!names) {
        return Unexpected(std::move(overlay).error().with_hint(fmt::format(
            "mount on something that the image has below {}", in_quotes(layer.target))));
    }
    Underlay whole = layer;
    whole.keep = std::move(*names);
    std::erase_if(whole.keep, [&](const auto& kept) {
        return std::any_of(layer.make.begin(), layer.make.end(), [&](const auto& item) {
            return base::components(item.first).front() == kept.first;
        });
    });
    return rebuilt(whole, image_dir);
}

Result<void> Executor::add_underlay(const Underlay& layer) {
    TRY_ASSIGN(const auto image_dir,
               base::open_in_root(image_.get(), layer.target, O_PATH | O_DIRECTORY));
    TRY_ASSIGN(auto finished, layer.method == Underlay::Method::rebuilt
                                  ? rebuilt(layer, image_dir.get())
                                  : layered(layer, image_dir.get()));
    if (layer.target == "/") {
        root_ = std::move(finished);
        return {};
    }
    TRY_ASSIGN(const auto target,
               base::open_in_root(root_.get(), layer.target, O_PATH | O_DIRECTORY));
    // One that is attached already moves.
    return attach(finished.get(), target.get(), layer.target);
}

/// Brings the image's own entries back into a tmpfs that replaces their directory.
Result<void> Executor::bring_back(const Underlay& layer, int image_dir, int skeleton) {
    for (const auto& [name, entry] : layer.keep) {
        if (entry.kind == EntryKind::symlink) {
            if (::symlinkat(entry.link.c_str(), skeleton, name.c_str()) != 0) {
                return fail_errno(Code::mount_failed, errno,
                                  fmt::format("cannot make the symlink {}", in_quotes(name)));
            }
            continue;
        }
        TRY(make_point(skeleton, name, entry.kind, false));
        TRY_ASSIGN(const auto original, base::open_at(image_dir, name, O_PATH | O_NOFOLLOW));
        TRY_ASSIGN(const auto copy, clone_tree(original.get(), name));
        TRY_ASSIGN(const auto point, base::open_at(skeleton, name, O_PATH | O_NOFOLLOW));
        TRY(attach(copy.get(), point.get(), name));
    }
    return {};
}

Result<UniqueFd> Executor::target_of(const Operation& operation) {
    if (operation.create != Create::nothing) {
        TRY(make_point(
            root_.get(), operation.target,
            operation.create == Create::directory ? EntryKind::directory : EntryKind::file, true));
    }
    auto target = base::open_resolved(root_.get(), operation.target, O_PATH,
                                      RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
    if (!target) {
        const int err = target.error().sys_errno;
        return fail_errno(Code::mount_target_invalid, err,
                          fmt::format("cannot mount on {}", in_quotes(operation.target)),
                          err == ENOENT ? "make it on the host, where its directory comes from"
                                        : "");
    }
    return target;
}

/// Generated content lives in a file of the stage.
Result<UniqueFd> Executor::file_for(const Operation& operation) {
    const auto name = fmt::format("file{}", counter_++);
    TRY_ASSIGN(auto file, base::open_at(stage_.get(), name, O_CREAT | O_EXCL | O_WRONLY,
                                        static_cast<mode_t>(operation.mode)));
    TRY(base::write_all(file.get(), operation.content));
    return clone_tree(file.get(), operation.target);
}

Result<UniqueFd> Executor::mount_for(const Operation& operation) {
    const MountFlags flags{operation.readonly, operation.nodev, operation.noexec,
                           operation.private_propagation};
    switch (operation.kind) {
    case Operation::Kind::bind: {
        const int tree = host_.descriptor(operation.handle);
        TRY(restrict_tree(tree, flags, operation.source));
        return base::duplicate(tree);
    }
    case Operation::Kind::tmpfs:
        return new_filesystem("tmpfs", tmpfs_settings(operation.mode, operation.size), flags);
    case Operation::Kind::devpts:
        return new_filesystem(
            "devpts",
            {{"source", "slipway"}, {"newinstance", ""}, {"ptmxmode", "0666"}, {"mode", "0620"}},
            flags);
    case Operation::Kind::proc:
    case Operation::Kind::sysfs:
    case Operation::Kind::mqueue:
        return kernel_filesystem(std::string(operation_kinds.name(operation.kind)),
                                 operation.target, flags);
    case Operation::Kind::file: {
        TRY_ASSIGN(auto tree, file_for(operation));
        TRY(restrict_tree(tree.get(), flags, operation.target));
        return tree;
    }
    case Operation::Kind::symlink:
    case Operation::Kind::write:
        break;
    }
    return fail(Code::internal, "an operation without a mount");
}

/// In place of whatever the image has there, a symlink included. Nothing that is mounted below the
/// root can be hit.
Result<void> Executor::write_into_root(const Operation& operation) {
    const auto path = operation.target.substr(1);
    std::string content = operation.content;
    if (!operation.source.empty()) {
        TRY_ASSIGN(
            const auto source,
            base::open_file(fmt::format("/proc/self/fd/{}", host_.descriptor(operation.handle)),
                            O_RDONLY | O_NONBLOCK | O_NOCTTY));
        TRY_ASSIGN(content, base::read_to_end(source.get(), max_copied_bytes));
    }
    if (operation.create == Create::file) {
        TRY(make_point(root_.get(), path, EntryKind::file, false));
    }
    TRY_ASSIGN(const auto directory,
               base::open_resolved(root_.get(), "./" + std::string(base::dir_name(path)),
                                   O_PATH | O_DIRECTORY,
                                   RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV));
    const std::string name(base::base_name(path));
    if (::unlinkat(directory.get(), name.c_str(), 0) != 0 && errno != ENOENT) {
        return fail_errno(Code::mount_failed, errno,
                          fmt::format("cannot replace {}", in_quotes(operation.target)));
    }
    TRY_ASSIGN(const auto file,
               base::open_at(directory.get(), name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW,
                             static_cast<mode_t>(operation.mode)));
    return base::write_all(file.get(), content);
}

/// Where the directory belongs to somebody else (a directory image of another user) the file is
/// mounted, as in a container that cannot be written to.
Result<void> Executor::write_file(const Operation& operation) {
    auto written = write_into_root(operation);
    if (written || (written.error().sys_errno != EACCES && written.error().sys_errno != EPERM)) {
        return written;
    }
    Operation mounted = operation;
    mounted.kind = operation.source.empty() ? Operation::Kind::file : Operation::Kind::bind;
    return apply(mounted);
}

Result<void> Executor::make_link(const Operation& operation) {
    TRY_ASSIGN(const auto parent,
               base::open_in_root(root_.get(), std::string(base::dir_name(operation.target)),
                                  O_PATH | O_DIRECTORY));
    const std::string name(base::base_name(operation.target));
    if (::symlinkat(operation.source.c_str(), parent.get(), name.c_str()) != 0) {
        return fail_errno(Code::mount_failed, errno,
                          fmt::format("cannot make the symlink {}", in_quotes(operation.target)));
    }
    return {};
}

Result<void> Executor::apply(const Operation& operation) {
    if (operation.kind == Operation::Kind::symlink) {
        return make_link(operation);
    }
    if (operation.kind == Operation::Kind::write) {
        return write_file(operation);
    }
    TRY_ASSIGN(const auto target, target_of(operation));
    TRY_ASSIGN(const auto mount, mount_for(operation));
    return attach(mount.get(), target.get(), operation.target);
}

Result<void> Executor::run() {
    TRY_ASSIGN(stage_, make_stage());
    TRY(make_root());
    for (const auto& operation : plan_.operations) {
        auto done = apply(operation);
        if (done) {
            continue;
        }
        if (operation.origin == Origin::user) {
            return done;
        }
        warn_(fmt::format("{} is missing in the container: {}", in_quotes(operation.target),
                          done.error().message));
    }
    return change_root(root_.get());
}

} // namespace

Result<void> execute_plan(const Plan& plan, UniqueFd root, const MountableHost& host,
                          const std::function<void(std::string_view)>& warn) {
    return Executor(plan, std::move(root), host, warn).run();
}

} // namespace slipway::launcher
