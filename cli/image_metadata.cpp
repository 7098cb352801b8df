// SPDX-License-Identifier: Apache-2.0
#include "cli/image_metadata.hpp"

#include "base/child.hpp"
#include "base/log.hpp"
#include "base/path.hpp"
#include "base/text.hpp"
#include "launcher/image_server/sandbox.hpp"
#include "squashfs/reader/reader.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>

namespace slipway::cli {
namespace {

using base::Code;
using base::fail;
using base::Result;

constexpr std::size_t max_file = 4U << 20U;
constexpr std::size_t max_names = 10'000;
constexpr std::size_t max_metadata = 16U << 20U;
constexpr int max_links = 40;

// A root file system as a directory. Absolute links and ".." stay inside it.

Result<std::optional<std::string>> read_from_directory(int root, const std::string& path) {
    auto file = base::open_in_root(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    struct stat facts {};
    if (!file || ::fstat(file->get(), &facts) != 0 || !S_ISREG(facts.st_mode)) {
        return std::optional<std::string>();
    }
    TRY_ASSIGN(auto text, base::read_to_end(file->get(), max_file));
    return std::optional(std::move(text));
}

Result<std::vector<std::string>> list_directory(int root, const std::string& path) {
    std::vector<std::string> names;
    auto directory = base::open_in_root(root, path, O_RDONLY | O_DIRECTORY);
    if (!directory) {
        return names;
    }
    const std::unique_ptr<DIR, decltype([](DIR* open) { ::closedir(open); })> stream(
        ::fdopendir(directory->get()));
    if (stream == nullptr) {
        return base::fail_errno(Code::io, errno, "cannot list " + base::in_quotes(path));
    }
    static_cast<void>(directory->release());
    while (const dirent* entry = ::readdir(stream.get())) {
        const std::string_view name = entry->d_name;
        if (name != "." && name != ".." && names.size() < max_names) {
            names.emplace_back(name);
        }
    }
    std::sort(names.begin(), names.end());
    return names;
}

// A root file system in SquashFS.

class SquashfsFiles {
  public:
    explicit SquashfsFiles(squashfs::Image& image) : reader_(image) {}

    Result<std::optional<std::string>> read(const std::string& path) {
        squashfs::Inode inode;
        if (!find(path, inode) || !S_ISREG(inode.mode)) {
            return std::optional<std::string>();
        }
        if (inode.size > max_file) {
            return fail(Code::limit_exceeded, base::in_quotes(path) + " in the image is too large");
        }
        std::string text;
        squashfs::FileData data;
        while (text.size() < inode.size) {
            if (reader_.read(inode, text.size(), max_file, data) != 0 || data.size == 0) {
                return fail(Code::image_corrupt,
                            "cannot read " + base::in_quotes(path) + " in the image");
            }
            for (const auto& piece : data.pieces) {
                text.append(static_cast<const char*>(piece.iov_base), piece.iov_len);
            }
            data.release();
        }
        return std::optional(std::move(text));
    }

    Result<std::vector<std::string>> list(const std::string& path) {
        std::vector<std::string> names;
        squashfs::Inode inode;
        if (!find(path, inode) || !S_ISDIR(inode.mode)) {
            return names;
        }
        squashfs::Listing listing(reader_, inode, 0);
        squashfs::DirectoryEntry entry;
        while (names.size() < max_names && listing.next(entry) == 0) {
            names.emplace_back(entry.name);
        }
        std::sort(names.begin(), names.end());
        return names;
    }

  private:
    /// Follows symlinks inside the image; "no" for anything that is missing or damaged.
    bool find(const std::string& path, squashfs::Inode& found) {
        auto left = base::components(path);
        std::reverse(left.begin(), left.end()); // the next component is at the back
        std::vector<squashfs::Inode> above;
        int links = 0;
        if (!root(found)) {
            return false;
        }
        while (!left.empty()) {
            const auto name = std::move(left.back());
            left.pop_back();
            if (name == "..") {
                if (!above.empty()) {
                    found = above.back();
                    above.pop_back();
                }
                continue;
            }
            squashfs::DirectoryEntry entry;
            squashfs::Inode next;
            if (!S_ISDIR(found.mode) || reader_.lookup(found, name, entry) != 0 ||
                reader_.inode(entry.reference, next) != 0) {
                return false;
            }
            if (!S_ISLNK(next.mode)) {
                above.push_back(found);
                found = next;
                continue;
            }
            std::string target;
            if (++links > max_links || reader_.read_link(next, target) != 0) {
                return false;
            }
            if (target.starts_with('/')) {
                above.clear();
                if (!root(found)) {
                    return false;
                }
            }
            const auto more = base::components(target);
            left.insert(left.end(), more.rbegin(), more.rend());
        }
        return true;
    }

    bool root(squashfs::Inode& found) {
        return reader_.inode(reader_.image().super().root_reference, found) == 0;
    }

    squashfs::Reader reader_;
};

/// In the child: decodes and writes the facts as JSON. Returns its exit code.
int answer_from_squashfs(squashfs::Image& image, int answer) {
    const std::array keep{image.fd(), answer};
    if (!launcher::image_server::enter_sandbox(keep)) {
        return 2;
    }
    SquashfsFiles files(image);
    const auto metadata =
        image::collect_metadata({[&](const std::string& path) { return files.read(path); },
                                 [&](const std::string& path) { return files.list(path); }});
    if (!metadata) {
        return 1;
    }
    const auto text = image::metadata_json_compact(*metadata, image::MetadataParts::all());
    return base::write_all(answer, text) ? 0 : 1;
}

Result<image::Metadata> from_squashfs(const image::OpenImage& open) {
    TRY_ASSIGN(const auto opened,
               squashfs::Image::open(open.fd.get(), open.file.root_offset, open.file.root_size));
    int ends[2] = {-1, -1};
    if (::pipe2(ends, O_CLOEXEC) != 0) {
        return base::fail_errno(Code::system, errno, "cannot make a pipe");
    }
    base::UniqueFd answer(ends[0]);
    base::UniqueFd answering(ends[1]);
    TRY_ASSIGN(auto child,
               base::Child::fork([&] { return answer_from_squashfs(*opened, answering.get()); }));
    answering.reset();
    auto text = base::read_to_end(answer.get(), max_metadata);
    TRY_ASSIGN(const int status, child.wait());
    if (!text || base::exit_code_of(status) != 0) {
        return fail(Code::image_corrupt, "the image cannot be looked into",
                    "it may be damaged; unsquashfs -l tells more");
    }
    return image::parse_metadata(*text);
}

Result<image::Metadata> from_files(const image::OpenImage& open) {
    if (open.file.kind == image::ImageKind::directory) {
        const int root = open.fd.get();
        return image::collect_metadata(
            {[=](const std::string& path) { return read_from_directory(root, path); },
             [=](const std::string& path) { return list_directory(root, path); }});
    }
    if (open.file.root_fs == image::SifFs::squashfs) {
        return from_squashfs(open);
    }
    return fail(Code::image_unsupported,
                "the image holds no metadata, and its root file system cannot be looked into",
                "only SquashFS and directories can; convert the image");
}

} // namespace

Result<image::Metadata> image_metadata(const image::OpenImage& open) {
    if (!open.file.sif) {
        return from_files(open);
    }
    const auto& sif = *open.file.sif;
    TRY_ASSIGN(const auto json, image::read_inspect_metadata(open.fd.get(), sif));
    image::Metadata metadata;
    if (!json.empty()) {
        TRY_ASSIGN(metadata, image::parse_metadata(json));
    } else {
        base::log(base::LogLevel::info, "no metadata in the SIF file, searching in the image");
        TRY_ASSIGN(metadata, from_files(open));
    }
    if (metadata.deffile.empty()) {
        TRY_ASSIGN(metadata.deffile, image::read_deffile(open.fd.get(), sif));
    }
    return metadata;
}

} // namespace slipway::cli
