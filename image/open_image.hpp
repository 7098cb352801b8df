// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/fd.hpp"
#include "image/architecture.hpp"
#include "image/sif.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// From a file to "what is this and where in it is the root file system". An image is hostile:
/// open_image() only opens, and what reads a byte of the file belongs into a process that has given
/// up its capabilities and put on its system call filter (launcher/image_server/sandbox.hpp). The
/// parsing functions use pread(2) alone, so that they work there and the open file stays as it is.
namespace slipway::image {

using base::Result;
using base::UniqueFd;

struct OpenImage {
    UniqueFd fd;            ///< O_RDONLY|O_CLOEXEC; for a directory O_DIRECTORY, too
    bool directory = false; ///< a root file system as a tree ("sandbox", bundle)
    std::uint64_t size = 0; ///< bytes of a file
};
/// Opens with the caller's rights, following symlinks; never blocks on a FIFO and reads nothing.
/// Code::image_not_found, Code::image_unreadable (no permission), Code::image_format (a device, a
/// pipe, a socket or an OCI layout).
Result<OpenImage> open_image(const std::string& path);

enum class ImageKind : std::uint8_t {
    unknown,
    sif,      ///< native SIF
    oci_sif,  ///< SIF that holds OCI blobs
    squashfs, ///< bare SquashFS, perhaps behind a launch line
    ext3,     ///< ext2, ext3 or ext4, perhaps behind a launch line
};

/// A file system in the file that is (a part of) the container's root.
struct ImageRoot {
    SifFs fs = SifFs::none;
    std::uint64_t offset = 0; ///< bytes from the start of the file
    std::uint64_t size = 0;   ///< bytes; a SquashFS may be shorter
};

struct ImageFile {
    ImageKind kind = ImageKind::unknown;
    /// GOARCH as the image declares it; "unknown" for bare file systems.
    std::string architecture = std::string(unknown_architecture);
    std::vector<ImageRoot> roots; ///< lowest first; none in an OCI-SIF and in a SIF of data only
    std::optional<SifInfo> sif;   ///< for sif and oci_sif
};

/// What a regular file of `size` bytes is. Detection order as in Apptainer: SIF, OCI-SIF, SquashFS,
/// ext3. A file that is none of these gives ImageKind::unknown (no error); one that begins like an
/// image and is damaged is Code::image_corrupt.
Result<ImageFile> probe_image(int fd, std::uint64_t size);

/// The same for people: errors name the file, and one that is no image is Code::image_format and
/// says what else it seems to be (a tar, an ELF program, a text …).
Result<ImageFile> identify_image(int fd, std::uint64_t size, std::string_view path);

/// Refuses what this build cannot run, each with a sentence for the user: Code::image_unsupported
/// (OCI-SIF, encrypted, ext3 and other root file systems), Code::image_format (SIF without a root
/// file system), Code::image_architecture (needs another machine and no emulator is set up). Needs
/// kind, architecture and roots only. `name` is what the user called it.
Result<void> require_runnable(const ImageFile& file, std::string_view name,
                              std::string_view host_architecture);

} // namespace slipway::image
