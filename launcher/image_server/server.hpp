// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string_view>

namespace slipway::launcher::image_server {

/// An open regular file. Nobody has read a byte of it.
struct ServedImage {
    int fd = -1;
    std::uint64_t size = 0; ///< bytes of the file
    std::string_view path;  ///< for messages
};

struct ServerOptions {
    int fuse_fd = -1;     ///< /dev/fuse, opened inside the user namespace that mounts
    unsigned threads = 0; ///< at most; 0: as many as the process may use processors, up to 16
    uid_t report_uid = 0; ///< owner of every file, as a number of the mounting user namespace
    gid_t report_gid = 0;
    /// Our end of a pair of packet sockets. The server first sends a report (report.hpp); it begins
    /// to serve with one byte from the other side, and ends when that side closes without one. (The
    /// device cannot be read before it is mounted; the server looks at the image beside that.)
    int control_fd = -1;
};

/// Exit codes of the serving process.
enum class ServerExit : int {
    mount_gone =
        0,        ///< also: the mount never came, or the report said that there is nothing to serve
    sandbox = 70, ///< a privilege or descriptor could not be given up
    device = 71,  ///< the FUSE device failed, or the kernel speaks a protocol older than 7.23
    no_memory = 72,
};

/// Finds the root file system in the image and serves it until the mount is gone; call it in a
/// process of its own (after fork, single threaded). In this order it blocks every signal that can
/// be blocked (signals for the job's processes must not take their files away; only SIGKILL ends
/// the server early), leaves the session of the terminal, drops all capabilities, sets
/// no_new_privs, becomes non-dumpable, closes every other descriptor including 0, 1 and 2, and
/// enters a seccomp filter under which it can only read the image, talk to the device, take memory
/// and start threads. Only then is the first byte of the image read: SIF header, superblock and
/// tables included.
///
/// The process must not live in the mount namespace that it serves: that would keep the namespace,
/// and with it the mount, alive for ever. Fork it before unshare(CLONE_NEWNS).
///
/// Mount options that fit: ro,nosuid,nodev with fd=N,rootmode=40000,user_id=U,group_id=G and
/// default_permissions (mode bits are then checked by the kernel, without asking the server).
[[noreturn]] void serve(const ServedImage& image, const ServerOptions& options) noexcept;

} // namespace slipway::launcher::image_server
