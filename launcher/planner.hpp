// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/config.hpp"
#include "launcher/identity.hpp"
#include "launcher/join/request.hpp"
#include "launcher/plan.hpp"

namespace slipway::launcher {

struct PlannerInput {
    const join::Request& request;
    const config::LauncherConfig& site;
    const UserFacts& user;
    const std::vector<ImageRoot>& roots; ///< lowest first; the first one is the image's own
    const ImageView& image;              ///< what they come to
    HostView& host;
};

/// Decides what the container looks like (reference native-image.md 8). Order of the mounts, later
/// ones on top: /proc, /sys, /dev, /tmp and /var/tmp, home, /etc files, the site's binds,
/// files of GPU drivers, scratch directories, the user's mounts in the order given, the current directory, required files. The
/// environment is planned as far as it does not depend on what is in the image.
///
/// Missing mount points are made in a layer under a read-only root, in a writable root itself, and
/// in an image that is written to only if it is the user's own.
///
/// Targets are resolved inside the image, symlinks included, so nothing can land outside. What
/// cannot be had is an error when the user asked for it and a warning otherwise. Code::
/// mount_source_missing, Code::mount_target_invalid, Code::mount_invalid.
base::Result<Plan> make_plan(const PlannerInput& input);

} // namespace slipway::launcher
