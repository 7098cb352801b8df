// SPDX-License-Identifier: Apache-2.0
#include "image/open_image.hpp"

#include "base/cursor.hpp"
#include "base/format.hpp"
#include "base/path.hpp"
#include "base/text.hpp"
#include "image/architecture.hpp"
#include "image/definition.hpp"
#include "squashfs/superblock.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace slipway::image {
namespace {

using base::Code;
using base::fail;
using base::in_quotes;

constexpr std::size_t head_size = 4096;
constexpr std::size_t launch_window = 2048;

/// Where the file system begins: behind a line that ends a shell launcher (" run-singularity"),
/// else 0.
std::size_t after_launch_line(std::string_view head) noexcept {
    const auto window = head.substr(0, launch_window);
    if (!window.starts_with("#!")) {
        return 0;
    }
    const auto word = window.find(" run-singularity");
    if (word == std::string_view::npos) {
        return 0;
    }
    const auto newline = window.find('\n', word);
    return newline == std::string_view::npos ? 0 : newline + 1;
}

bool looks_like_ext(std::string_view from_start) noexcept {
    constexpr std::size_t superblock_at = 1024;
    constexpr std::size_t magic_at = superblock_at + 0x38;
    return from_start.size() > magic_at + 1 && from_start[magic_at] == '\x53' &&
           from_start[magic_at + 1] == '\xEF';
}

std::span<const std::uint8_t> bytes_of(std::string_view text) noexcept {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

Result<std::string> read_head(int fd, std::uint64_t file_size) {
    std::vector<std::uint8_t> bytes(
        static_cast<std::size_t>(std::min<std::uint64_t>(head_size, file_size)));
    TRY(base::read_exact_at(fd, bytes, 0));
    return std::string(bytes.begin(), bytes.end());
}

Result<ImageFile> probe_sif(int fd, std::uint64_t size) {
    TRY_ASSIGN(auto sif, read_sif(fd, size));
    ImageFile file;
    file.kind = sif.is_oci_sif() ? ImageKind::oci_sif : ImageKind::sif;
    if (const auto* root = sif.primary(); root != nullptr && !sif.is_oci_sif()) {
        file.roots.push_back({root->fs(), root->offset, root->size});
        file.architecture = std::string(root->architecture());
        if (root->fs() == SifFs::squashfs) {
            TRY(squashfs::read_superblock(fd, root->offset, root->size));
        }
    }
    file.sif = std::move(sif);
    return file;
}

/// What a file that is no image seems to be, for the message; with a hint.
struct Guess {
    std::string_view what;
    std::string_view hint;
};
Guess guess(std::string_view head, std::uint64_t size) {
    constexpr std::string_view ustar = "ustar";
    if (size == 0) {
        return {"the file is empty", "a download or a build may have failed"};
    }
    if (head.starts_with("\x7F"
                         "ELF")) {
        return {"it is a program", "give the image first and the program after it"};
    }
    if (head.size() > 262 && head.substr(257, ustar.size()) == ustar) {
        return {"it is a tar archive", "name it as oci-archive:FILE or docker-archive:FILE, or "
                                       "convert it with `slipway build`"};
    }
    if (head.starts_with("\x1F\x8B") || head.starts_with("\x28\xB5\x2F\xFD")) {
        return {"it is compressed data",
                "an archive is named as oci-archive:FILE or docker-archive:FILE"};
    }
    if (head.starts_with("#!")) {
        return {"it is a script", "give the image first and the program after it"};
    }
    if (head.starts_with("<") || head.starts_with("{")) {
        return {"it is a text (a web page or JSON?)", "a download may have saved an error page"};
    }
    if (std::all_of(head.begin(), head.end(), [](char c) { return c == '\0'; })) {
        return {"it begins with zeros only", "a build or a copy may have been interrupted"};
    }
    if (looks_like_definition(head)) {
        return {"it is a definition file, and this version does not build from definition files",
                "build it with Apptainer, or take an image"};
    }
    return {"its format is not recognised",
            "images are SIF or SquashFS files, or directories"};
}

Result<UniqueFd> open_for_reading(const std::string& path) {
    if (path.empty() || path.find('\0') != std::string::npos) {
        return fail(Code::image_not_found, "the image has an empty or impossible name");
    }
    // O_NONBLOCK: a FIFO must not block us; it has no meaning for regular files.
    const auto open = [&] { return base::open_file(path, O_RDONLY | O_NONBLOCK | O_NOCTTY); };
    auto fd = open();
    if (!fd && (fd.error().sys_errno == ENOENT || fd.error().sys_errno == ESTALE)) {
        base::ask_server_about(std::string(base::dir_name(path)));
        fd = open();
    }
    if (fd) {
        return fd;
    }
    const int err = fd.error().sys_errno;
    const auto message = "cannot open image " + in_quotes(path);
    switch (err) {
    case ENOENT:
    case ENOTDIR:
        return base::fail_errno(
            Code::image_not_found, err, message,
            "check the path; images in a registry are written docker://NAME:TAG");
    case EACCES:
    case EPERM:
        return base::fail_errno(
            Code::image_unreadable, err, message,
            "ask its owner for read permission on the file and its directories");
    case ENAMETOOLONG:
    case ELOOP:
        return base::fail_errno(Code::image_not_found, err, message, "check the path");
    case ESTALE:
        return base::fail_errno(Code::image_unreadable, err, message,
                                "the file was replaced on the file server; try again");
    default:
        return base::fail_errno(Code::image_unreadable, err, message);
    }
}

base::Unexpected unsupported(std::string_view name, std::string_view why, std::string_view hint) {
    return fail(Code::image_unsupported, fmt::format("image {} {}", in_quotes(name), why),
                std::string(hint));
}

/// Refusals that depend on the type of the root file system.
Result<void> require_known_root(SifFs fs, std::string_view name) {
    switch (fs) {
    case SifFs::squashfs:
        return {};
    case SifFs::encrypted_squashfs:
    case SifFs::gocryptfs:
        return unsupported(name, "is encrypted, and encrypted images cannot be run here",
                           "use an unencrypted image, or Singularity/Apptainer with its key");
    case SifFs::ext3:
        return unsupported(name,
                           "has an ext3 root file system, which cannot be mounted without root",
                           "make a SIF or SquashFS of it");
    default:
        return unsupported(name, "has a root file system of a type that cannot be run",
                           "make a SIF or SquashFS image of it");
    }
}

/// What an OCI layout has and no root file system: looked for by name, nothing is read.
bool is_oci_layout(int directory) {
    struct stat st {};
    const auto has = [&](const char* name, mode_t type) {
        return ::fstatat(directory, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && (st.st_mode & S_IFMT) == type;
    };
    return has("oci-layout", S_IFREG) && has("index.json", S_IFREG) && !has("usr", S_IFDIR);
}

} // namespace

Result<ImageFile> probe_image(int fd, std::uint64_t size) {
    TRY_ASSIGN(const auto head, read_head(fd, size));
    if (looks_like_sif(head)) {
        return probe_sif(fd, size);
    }
    ImageFile file;
    const auto start = after_launch_line(head);
    const auto rest = std::string_view(head).substr(start);
    if (squashfs::looks_like_squashfs(bytes_of(rest))) {
        TRY(squashfs::read_superblock(fd, start, size - start));
        file.kind = ImageKind::squashfs;
        file.roots.push_back({SifFs::squashfs, start, size - start});
    } else if (looks_like_ext(rest)) {
        file.kind = ImageKind::ext3;
        file.roots.push_back({SifFs::ext3, start, size - start});
    }
    return file;
}

Result<ImageFile> identify_image(int fd, std::uint64_t size, std::string_view path) {
    auto probed = probe_image(fd, size);
    if (!probed) {
        return base::Unexpected(std::move(probed).error().context("image " + in_quotes(path)));
    }
    if (probed->kind == ImageKind::unknown) {
        TRY_ASSIGN(const auto head, read_head(fd, size));
        const auto seems = guess(head, size);
        return fail(Code::image_format,
                    fmt::format("{} is not an image: {}", in_quotes(path), seems.what),
                    std::string(seems.hint));
    }
    return probed;
}

Result<OpenImage> open_image(const std::string& path) {
    TRY_ASSIGN(auto fd, open_for_reading(path));
    struct stat st {};
    if (::fstat(fd.get(), &st) != 0) {
        return base::fail_errno(Code::io, errno, "cannot look at the image");
    }
    if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode)) {
        return fail(Code::image_format,
                    fmt::format("{} is not an image: it is a device, a pipe or a socket",
                                in_quotes(path)),
                    "name a SIF or SquashFS file, or a directory");
    }
    const bool directory = S_ISDIR(st.st_mode);
    if (directory && is_oci_layout(fd.get())) {
        return fail(Code::image_format,
                    fmt::format("{} is an OCI layout, not a directory with a root file system",
                                in_quotes(path)),
                    fmt::format("name it oci:{}", base::printable(path)));
    }
    return OpenImage{.fd = std::move(fd),
                     .directory = directory,
                     .size = directory ? 0 : static_cast<std::uint64_t>(st.st_size)};
}

Result<void> require_runnable(const ImageFile& file, std::string_view name,
                              std::string_view host_architecture) {
    if (file.kind == ImageKind::oci_sif) {
        return unsupported(name, "is an OCI-SIF, which cannot be run yet",
                           "use the docker:// image that it was made from, or a native SIF");
    }
    if (file.roots.empty()) {
        return fail(Code::image_format,
                    fmt::format("the SIF file {} holds no root file system", in_quotes(name)),
                    "it may hold only data or signatures");
    }
    for (const auto& root : file.roots) {
        TRY(require_known_root(root.fs, name));
    }
    if (!runs_natively(file.architecture, host_architecture) && !has_emulator(file.architecture)) {
        return fail(
            Code::image_architecture,
            fmt::format("image {} is made for {}, this machine is {}", in_quotes(name),
                        file.architecture, host_architecture),
            fmt::format("take the image for {} (--arch, --platform), or nodes of the other kind",
                        host_architecture));
    }
    return {};
}

} // namespace slipway::image
