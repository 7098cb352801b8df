// SPDX-License-Identifier: Apache-2.0
#include "cli/image_metadata.hpp"

#include "base/child.hpp"
#include "base/cursor.hpp"
#include "base/directory.hpp"
#include "base/path.hpp"
#include "base/pipe.hpp"
#include "base/text.hpp"
#include "image/open_image.hpp"
#include "launcher/image_server/sandbox.hpp"
#include "squashfs/reader/reader.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>

namespace slipway::cli {
namespace {

using base::Code;
using base::fail;
using base::Result;

constexpr std::size_t max_file = 4U << 20U;
constexpr std::size_t max_names = 10'000;
constexpr std::size_t max_answer = 64U << 20U; ///< bytes: what 16 MiB of metadata may become as JSON
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
    TRY_ASSIGN(const auto entries, base::list_directory(directory->get(), max_names));
    for (const auto& entry : entries) {
        names.push_back(entry.name);
    }
    std::sort(names.begin(), names.end());
    return names;
}

// A root file system in SquashFS.

class SquashfsFiles {
  public:
    explicit SquashfsFiles(squashfs::reader::Image& image) : reader_(image) {}

    Result<std::optional<std::string>> read(const std::string& path) {
        squashfs::reader::Inode inode;
        if (!find(path, inode) || !S_ISREG(inode.mode)) {
            return std::optional<std::string>();
        }
        if (inode.size > max_file) {
            return fail(Code::limit_exceeded, base::in_quotes(path) + " in the image is too large");
        }
        std::string text;
        squashfs::reader::FileData data;
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
        squashfs::reader::Inode inode;
        if (!find(path, inode) || !S_ISDIR(inode.mode)) {
            return names;
        }
        squashfs::reader::Listing listing(reader_, inode, 0);
        squashfs::reader::DirectoryEntry entry;
        while (names.size() < max_names && listing.next(entry) == 0) {
            names.emplace_back(entry.name);
        }
        std::sort(names.begin(), names.end());
        return names;
    }

  private:
    /// Follows symlinks inside the image; "no" for anything that is missing or damaged.
    bool find(const std::string& path, squashfs::reader::Inode& found) {
        auto left = base::components(path);
        std::reverse(left.begin(), left.end()); // the next component is at the back
        std::vector<squashfs::reader::Inode> above;
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
            squashfs::reader::DirectoryEntry entry;
            squashfs::reader::Inode next;
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

    bool root(squashfs::reader::Inode& found) {
        return reader_.inode(reader_.image().super().root_reference, found) == 0;
    }

    squashfs::reader::Reader reader_;
};

Result<image::Metadata> from_root(int fd, const image::ImageFile& file) {
    if (file.roots.empty() || file.roots.front().fs != image::SifFs::squashfs) {
        return fail(Code::image_unsupported,
                    "the image holds no metadata, and its root file system cannot be looked into",
                    "only SquashFS and directories can; convert the image");
    }
    const auto& root = file.roots.front();
    TRY_ASSIGN(const auto opened, squashfs::reader::Image::open(fd, root.offset, root.size));
    SquashfsFiles files(*opened);
    return image::collect_metadata({[&](const std::string& path) { return files.read(path); },
                                    [&](const std::string& path) { return files.list(path); }});
}

Result<image::Metadata> from_sif(int fd, const image::ImageFile& file) {
    const auto& sif = *file.sif;
    TRY_ASSIGN(const auto json, image::read_inspect_metadata(fd, sif));
    image::Metadata metadata;
    if (!json.empty()) {
        TRY_ASSIGN(metadata, image::parse_metadata(json));
    } else {
        TRY_ASSIGN(metadata, from_root(fd, file));
    }
    if (metadata.deffile.empty()) {
        TRY_ASSIGN(metadata.deffile, image::read_deffile(fd, sif));
    }
    return metadata;
}

Result<std::string> describe_file(const image::OpenImage& open, const std::string& path,
                                  const MetadataText& text_of) {
    TRY_ASSIGN(const auto file, image::identify_image(open.fd.get(), open.size, path));
    TRY_ASSIGN(const auto metadata,
               file.sif ? from_sif(open.fd.get(), file) : from_root(open.fd.get(), file));
    return text_of(metadata);
}

/// The answer of the child: one byte, then the text or the parts of an error.
std::string encode_answer(const Result<std::string>& answer) {
    base::Packer out;
    out.u8(answer ? 1 : 0);
    if (answer) {
        out.text(*answer);
    } else {
        out.text(base::code_name(answer.error().code));
        out.text(answer.error().message);
        out.text(answer.error().hint);
    }
    return out.take();
}

Result<std::string> decode_answer(std::string_view bytes) {
    base::Cursor in(bytes);
    if (in.u8() == 1) {
        const auto text = in.text(max_answer);
        if (in.ok()) {
            return std::string(text);
        }
    } else {
        base::Error error;
        error.code = base::code_from_name(in.text(max_answer));
        error.message = std::string(in.text(max_answer));
        error.hint = std::string(in.text(max_answer));
        if (in.ok()) {
            return base::Unexpected(std::move(error));
        }
    }
    return fail(Code::image_corrupt, "the image cannot be looked into",
                "it may be damaged; unsquashfs -l shows more");
}

/// In the child: reads no byte of the image before it is locked up. Returns its exit code.
int answer_locked_up(const image::OpenImage& open, const std::string& path,
                     const MetadataText& text_of, int answer) {
    const std::array keep{open.fd.get(), answer};
    if (!launcher::image_server::enter_sandbox(keep)) {
        return 1;
    }
    return base::write_all(answer, encode_answer(describe_file(open, path, text_of))) ? 0 : 1;
}

} // namespace

Result<std::string> describe_image(const image::OpenImage& open, const std::string& path,
                                   const MetadataText& text_of) {
    if (open.directory) {
        const int root = open.fd.get();
        TRY_ASSIGN(const auto metadata,
                   image::collect_metadata(
                       {[=](const std::string& file) { return read_from_directory(root, file); },
                        [=](const std::string& name) { return list_directory(root, name); }}));
        return text_of(metadata);
    }
    TRY_ASSIGN(auto answer, base::make_pipe());
    TRY_ASSIGN(auto child, base::Child::fork([&] {
                   return answer_locked_up(open, path, text_of, answer.writer.get());
               }));
    answer.writer.reset();
    TRY_ASSIGN(const auto bytes, base::read_to_end(answer.reader.get(), max_answer));
    TRY(child.wait());
    return decode_answer(bytes);
}

} // namespace slipway::cli
