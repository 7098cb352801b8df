// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/fd.hpp"
#include "image/sif.hpp"
#include "squashfs/superblock.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// From a file to "what is this and where in it is the root file system". Works with the rights of
/// the caller; reads a few kilobytes with pread(2), so an open file stays the same open file.
namespace slipway::image {

using base::Result;
using base::UniqueFd;

enum class ImageKind {
    sif,       ///< native SIF
    oci_sif,   ///< SIF that holds OCI blobs
    squashfs,  ///< bare SquashFS, perhaps behind a launch line
    ext3,      ///< ext2, ext3 or ext4, perhaps behind a launch line
    directory, ///< a root file system as a tree ("sandbox", bundle)
    unknown,
};
std::string_view image_kind_name(ImageKind kind) noexcept; ///< "SIF", "SquashFS", …

struct ImageFile {
    ImageKind kind = ImageKind::unknown;
    std::uint64_t file_size = 0;
    /// The root file system: where, how long, which type. 0/0 for directories and OCI-SIF.
    std::uint64_t root_offset = 0;
    std::uint64_t root_size = 0;
    SifFs root_fs = SifFs::none;
    /// GOARCH as the image declares it; "unknown" for bare file systems.
    std::string architecture;
    std::optional<squashfs::Superblock> squashfs; ///< when the root file system is SquashFS
    std::optional<SifInfo> sif;           ///< for sif and oci_sif
};

/// Detection order as in Apptainer: directory, SIF, OCI-SIF, SquashFS, ext3. A file that is none of
/// these gives ImageKind::unknown (no error); one that begins like an image and is damaged is
/// Code::image_corrupt. `fd` is open for reading (or O_PATH|O_DIRECTORY for a directory).
Result<ImageFile> probe_image(int fd);

struct OpenImage {
    UniqueFd fd; ///< O_RDONLY|O_CLOEXEC; for a directory O_DIRECTORY, too
    ImageFile file;
};
/// Opens with the caller's rights, following symlinks; never blocks on a FIFO. Code::
/// image_not_found, Code::image_unreadable (no permission), Code::image_format (not an image; says
/// what else it seems to be: a tar, an ELF program, a text, a FIFO …).
Result<OpenImage> open_image(const std::string& path);

/// Refuses what this build cannot run, each with a sentence for the user: Code::image_unsupported
/// (OCI-SIF, encrypted, ext3 and other root file systems), Code::image_format
/// (unknown, SIF without a root file system), Code::image_architecture (needs another machine and
/// no emulator is set up). `name` is what the user called it.
Result<void> require_runnable(const ImageFile& file, std::string_view name,
                              std::string_view host_architecture);

} // namespace slipway::image
