// SPDX-License-Identifier: Apache-2.0
#include "launcher/root_layers.hpp"

#include "base/format.hpp"
#include "base/text.hpp"
#include "launcher/mount_calls.hpp"
#include "launcher/stage.hpp"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

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

constexpr const char* upper_name = "upper";
constexpr const char* work_name = "work";
constexpr const char* other_file_system =
    "put the overlay on a local file system such as ext4, XFS or (Linux 6.6) tmpfs, not on NFS, "
    "Lustre or another overlay";

struct Layers {
    std::vector<UniqueFd> lower; ///< the topmost first
    UniqueFd upper;              ///< with `work`, or neither
    UniqueFd work;
    const RootImage* kept_in = nullptr; ///< whose directory `upper` is; nullptr: memory
};

std::string part_of(const RootImage& image, const char* name) {
    return fmt::format("the directory {} of the overlay {}", name, in_quotes(image.name));
}

/// A directory right in `mount`: whatever the user has put there, nothing else is ever opened.
Result<UniqueFd> open_part(const RootImage& image, int mount, const char* name) {
    auto part = base::open_resolved(mount, name, O_RDONLY | O_DIRECTORY,
                                    RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
    if (part) {
        return part;
    }
    const int err = part.error().sys_errno;
    const char* hint = "check its permissions";
    if (err == ELOOP || err == ENOTDIR || err == EXDEV) {
        hint = "it must be a directory right there, no symlink and no mount";
    } else if (err == ENOENT) {
        hint = "a directory is an overlay when it has been written to: leave out :ro once, or bind it";
    }
    return fail_errno(Code::mount_failed, err, "cannot use " + part_of(image, name), hint);
}

Result<UniqueFd> make_part(const RootImage& image, int mount, const char* name) {
    if (::mkdirat(mount, name, 0755) != 0 && errno != EEXIST) {
        return fail_errno(Code::mount_failed, errno, "cannot make " + part_of(image, name),
                          "name a directory that you may write to, or add :ro");
    }
    TRY_ASSIGN(auto part, open_part(image, mount, name));
    struct stat st {};
    if (::fstat(part.get(), &st) != 0) {
        return fail_errno(Code::mount_failed, errno, "cannot look at " + part_of(image, name));
    }
    if (st.st_uid != ::geteuid()) {
        return fail(Code::mount_failed, part_of(image, name) + " belongs to somebody else",
                    "use a directory of your own, or add :ro");
    }
    return part;
}

/// Overlayfs notes in attributes which directories hide those below; without them it would fail in
/// the middle of somebody's work.
Result<void> require_attributes(const RootImage& image, int work) {
    constexpr const char* probe = "user.slipway.probe";
    if (::fsetxattr(work, probe, "1", 1, 0) != 0) {
        return fail_errno(Code::mount_failed, errno,
                          fmt::format("the file system of the overlay {} cannot hold changes to a "
                                      "container: it takes no user attributes",
                                      in_quotes(image.name)),
                          other_file_system);
    }
    ::fremovexattr(work, probe);
    return {};
}

Result<void> add_directory(const RootImage& image, int mount, LayerUse use, Layers& layers) {
    if (!image.writable || use == LayerUse::plan) {
        auto part = open_part(image, mount, upper_name);
        if (part) {
            layers.lower.push_back(std::move(*part));
            return {};
        }
        const bool made_later = image.writable && part.error().sys_errno == ENOENT;
        return made_later ? Result<void>() : Unexpected(std::move(part).error());
    }
    TRY_ASSIGN(layers.upper, make_part(image, mount, upper_name));
    TRY_ASSIGN(layers.work, make_part(image, mount, work_name));
    layers.kept_in = &image;
    return require_attributes(image, layers.work.get());
}

Result<void> add_memory(int stage, std::uint64_t size, Layers& layers) {
    TRY_ASSIGN(const auto memory, new_filesystem("tmpfs", tmpfs_settings(0755, size), {}));
    TRY_ASSIGN(const auto place, stage_directory(stage, "memory"));
    TRY(attach(memory.get(), place.get(), "memory for changes"));
    if (::mkdirat(memory.get(), upper_name, 0755) != 0 ||
        ::mkdirat(memory.get(), work_name, 0755) != 0) {
        return fail_errno(Code::mount_failed, errno, "cannot prepare memory for changes");
    }
    TRY_ASSIGN(layers.upper, base::open_at(memory.get(), upper_name, O_PATH | O_DIRECTORY));
    TRY_ASSIGN(layers.work, base::open_at(memory.get(), work_name, O_PATH | O_DIRECTORY));
    return {};
}

std::string by_number(int fd) {
    return fmt::format("/proc/self/fd/{}", fd);
}

/// Attributes of the user.* kind alone are believed, and neither of those that lead elsewhere:
/// overlayfs refuses redirects and metadata copies together with userxattr.
Result<UniqueFd> mount_layers(const Layers& layers) {
    const auto lower =
        base::joined(layers.lower, ":", [](const auto& fd) { return by_number(fd.get()); });
    std::vector<std::pair<std::string, std::string>> settings{
        {"source", "slipway"}, {"lowerdir", lower}, {"userxattr", ""}};
    const bool writable = static_cast<bool>(layers.upper);
    if (writable) {
        settings.emplace_back("upperdir", by_number(layers.upper.get()));
        settings.emplace_back("workdir", by_number(layers.work.get()));
    }
    auto overlay = new_filesystem("overlay", settings, {.readonly = !writable});
    if (overlay) {
        return overlay;
    }
    auto error = std::move(overlay).error();
    const bool kernel = error.sys_errno == EPERM || error.sys_errno == ENODEV ||
                        layers.kept_in == nullptr;
    const auto what = layers.kept_in != nullptr
                          ? fmt::format("cannot keep changes in the overlay {}",
                                        in_quotes(layers.kept_in->name))
                      : writable ? std::string("cannot make the root directory writable")
                                 : std::string("cannot lay the overlays over the image");
    return Unexpected(
        std::move(error).context(what).with_hint(
            kernel ? "it needs overlayfs in user namespaces (Linux 5.11, better 6.6); bind a "
                     "directory to write to instead"
                   : other_file_system));
}

/// All that is attached goes away with the stage: the overlay has what it needs.
Result<UniqueFd> lay_in(int stage, std::span<const RootImage> images,
                        std::vector<UniqueFd>& mounts, LayerUse use) {
    Layers layers;
    for (std::size_t i = images.size(); i-- > 0;) {
        TRY_ASSIGN(const auto place, stage_directory(stage, fmt::format("image{}", i)));
        TRY(attach(mounts[i].get(), place.get(), "the image"));
        if (images[i].overlay && images[i].image.directory) {
            TRY(add_directory(images[i], mounts[i].get(), use, layers));
        } else {
            TRY_ASSIGN(auto copy, base::duplicate(mounts[i].get()));
            layers.lower.push_back(std::move(copy));
        }
    }
    if (layers.lower.size() == 1 && !layers.upper) {
        return clone_tree(mounts.front().get(), "the image");
    }
    return mount_layers(layers);
}

} // namespace

Result<UniqueFd> lay_roots(std::span<const RootImage> images, std::vector<UniqueFd> mounts,
                           LayerUse use) {
    if (images.size() == 1) {
        return std::move(mounts.front());
    }
    TRY_ASSIGN(const auto stage, make_stage());
    TRY_ASSIGN(auto root, lay_in(stage.get(), images, mounts, use));
    TRY(remove_stage(stage.get()));
    return root;
}

Result<UniqueFd> lay_memory(int stage, int root, std::uint64_t size) {
    Layers layers;
    TRY_ASSIGN(auto lower, base::duplicate(root));
    layers.lower.push_back(std::move(lower));
    TRY(add_memory(stage, size, layers));
    return mount_layers(layers);
}

} // namespace slipway::launcher
