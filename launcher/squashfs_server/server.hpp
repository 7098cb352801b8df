// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.hpp"

#include <cstdint>
#include <memory>

#include <sys/types.h>

namespace slipway::launcher {

namespace squashfs {
class SquashfsImage;
struct DeleteImage {
    void operator()(SquashfsImage* image) const noexcept;
};
} // namespace squashfs

/// An opened and checked image. Keeps the descriptor's number, not the descriptor: the caller keeps
/// that open for as long as the image lives.
using SquashfsImage = squashfs::SquashfsImage;
using SquashfsImagePtr = std::unique_ptr<SquashfsImage, squashfs::DeleteImage>;

/// Opens and checks the SquashFS 4.0 file system at `offset` of the file (superblock, tables, root
/// directory), before anything is mounted, so that a bad image gives a clear error: image_format,
/// image_unsupported (version, compressor), image_corrupt, image_unreadable. `size` is the length
/// of the partition, 0 for "to the end of the file". About 0.1 ms; needs no privilege.
base::Result<SquashfsImagePtr> open_squashfs(int image_fd, std::uint64_t offset,
                                             std::uint64_t size);

struct ServerOptions {
    int fuse_fd = -1;         ///< /dev/fuse, opened inside the user namespace that mounts
    int image_fd = -1;        ///< the one given to open_squashfs()
    unsigned threads = 0;     ///< at most; 0: as many as the process may use processors, up to 16
    uid_t report_uid = 0;     ///< owner of every file, as a number of the mounting user namespace
    gid_t report_gid = 0;
    int parent_pidfd = -1;    ///< the server ends when this process does; -1: nobody to watch
    /// Where the server waits before it touches the device: it starts with one byte from here and
    /// ends when the other side closes without one. -1: the mount exists already. (The device
    /// cannot be read before it is mounted; a pipe lets the server get ready beside the mounting.)
    int start_fd = -1;
};

/// Exit codes of the serving process.
enum class ServerExit : int {
    mount_gone = 0,  ///< also: the watched process ended, or the mount never came
    sandbox = 70,    ///< a privilege or descriptor could not be given up
    device = 71,     ///< the FUSE device failed, or the kernel speaks a protocol older than 7.23
    no_memory = 72,
};

/// Serves the image until the mount is gone; call it in a process of its own (after fork, single
/// threaded). In this order it blocks every signal that can be blocked (signals for the job's
/// processes must not take their files away; only SIGKILL ends the server early), leaves the
/// session of the terminal, drops all capabilities, sets no_new_privs, becomes non-dumpable, closes
/// every other descriptor including 0, 1 and 2, and enters a seccomp filter under which it can only
/// read the image, talk to the device, take memory and start threads.
///
/// The process must not live in the mount namespace that it serves: that would keep the namespace,
/// and with it the mount, alive for ever. Fork it before unshare(CLONE_NEWNS).
///
/// Mount options that fit: ro,nosuid,nodev with fd=N,rootmode=40000,user_id=U,group_id=G and
/// default_permissions (mode bits are then checked by the kernel, without asking the server).
[[noreturn]] void serve(SquashfsImage& image, const ServerOptions& options) noexcept;

} // namespace slipway::launcher
