// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/devices/edits.hpp"
#include "launcher/devices/facts.hpp"
#include "launcher/devices/library_list.hpp"

#include <span>
#include <string>

namespace slipway::launcher::devices {

struct VendorRequest {
    Vendor vendor = Vendor::nvidia;
    const LibraryList& list;
    std::span<const std::string> environment; ///< the caller's, NAME=value
    bool own_dev = false;                     ///< the container does not show the host's /dev
};

/// --nv and --rocm (reference devices.md 2 to 4, 7 and 11): the driver's libraries go to
/// library_directory under every name that the loader's cache of the host has for them, its
/// programs to /usr/bin, other files to where they are on the host, all of it read-only; sockets of
/// its services and, with `own_dev`, its device nodes as far as they exist. Programs come from
/// directories that only root writes to, whatever PATH says; libraries and programs must be for
/// this machine. No program is run, nothing of the image is trusted.
ContainerEdits vendor_edits(const VendorRequest& request, Host& host, const Image& image);

} // namespace slipway::launcher::devices
