// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/child.hpp"
#include "config/config.hpp"
#include "image/open_image.hpp"
#include "launcher/join/request.hpp"

#include <functional>
#include <span>
#include <string>
#include <vector>

namespace slipway::launcher {

/// An image whose file system is (a part of) the container's root: opened once, used by descriptor
/// from then on.
struct RootImage {
    std::string path; ///< absolute
    std::string name; ///< what the user called it
    image::OpenImage image;
    bool overlay = false;  ///< of --overlay; of a directory its part `upper` lies over the image
    bool writable = false; ///< a directory that takes the container's changes
};

/// Opens what the request names, by path or by id in a store (image/stored_image.hpp), with the
/// caller's rights, before anything is set up, and reads nothing of it: see mount_roots(). A
/// relative path is taken against the request's cwd. Lowest first, at least one: the image, then
/// the overlays, a writable one last. Errors as of image::open_image() and
/// image::open_stored_image(); Code::usage when what should be writable cannot be, or contradicts
/// something else.
base::Result<std::vector<RootImage>> open_root_images(const join::Request& request,
                                                      const config::Config& config);

/// Opens /dev/fuse in the user namespace of this process. Code::fuse_unavailable.
base::Result<base::UniqueFd> open_fuse_device();

struct MountRootsOptions {
    std::function<base::Result<base::UniqueFd>()> open_fuse = open_fuse_device;
    unsigned server_threads = 0; ///< 0: as many as there are processors
    /// true: the server dies with this process. false: it lives until the mount is gone, is
    /// nobody's child, and this process may exec the user's command.
    bool server_dies_with_us = false;
    int null_fd = -1; ///< /dev/null, for the server's standard descriptors
};

struct MountedRoots {
    std::vector<base::UniqueFd> mounts; ///< as the images came; detached, nosuid,nodev,
                                        ///< read-only but for writable ones
    std::vector<base::Child> servers;   ///< only when they die with us
};

/// Enters a new mount namespace and mounts the images there, detached. Must be called inside the
/// container's user namespace, single-threaded. The server of a SquashFS image is forked before the
/// mount namespace is made: if it lived in there, the mount could never end. It alone parses the
/// image, behind its sandbox, and reports what it found; whether that can run here is decided by
/// this side (errors as of image::identify_image(), squashfs::reader::Image::open() and
/// image::require_runnable()).
base::Result<MountedRoots> mount_roots(std::span<const RootImage> roots,
                                       const MountRootsOptions& options);

} // namespace slipway::launcher
