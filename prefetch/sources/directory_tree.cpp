// SPDX-License-Identifier: Apache-2.0
#include "base/format.hpp"
#include "base/path.hpp"
#include "base/text.hpp"
#include "prefetch/sources/file_tree.hpp"

#include <array>
#include <cerrno>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace slipway::prefetch::sources {
namespace {

using base::Code;
using base::fail;

class FileSource : public base::ByteSource {
  public:
    FileSource(base::UniqueFd fd, std::string what) : fd_(std::move(fd)), what_(std::move(what)) {}
    base::Result<std::size_t> read(std::span<std::uint8_t> buffer) override {
        for (;;) {
            const auto got = ::read(fd_.get(), buffer.data(), buffer.size());
            if (got >= 0) {
                return static_cast<std::size_t>(got);
            }
            if (errno != EINTR) {
                return base::fail_errno(Code::io, errno, "cannot read " + what_);
            }
        }
    }

    std::optional<base::FileRange> file_range() override {
        struct stat st {};
        auto copy = base::duplicate(fd_.get());
        if (!copy || ::fstat(fd_.get(), &st) != 0) {
            return std::nullopt;
        }
        return base::FileRange{std::move(*copy), 0, static_cast<std::uint64_t>(st.st_size)};
    }

  private:
    base::UniqueFd fd_;
    std::string what_;
};

class DirectoryTree : public FileTree {
  public:
    DirectoryTree(std::string path, base::UniqueFd fd) : path_(std::move(path)), fd_(std::move(fd)) {}

    [[nodiscard]] bool exists(const std::string& name) const override {
        struct stat st {};
        return ::fstatat(fd_.get(), name.c_str(), &st, 0) == 0;
    }
    base::Result<std::uint64_t> size(const std::string& name) const override {
        TRY_ASSIGN(const auto opened, open_regular(name));
        return opened.second;
    }
    base::Result<std::unique_ptr<base::ByteSource>> open(const std::string& name) const override {
        TRY_ASSIGN(auto opened, open_regular(name));
        ::posix_fadvise(opened.first.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
        return std::make_unique<FileSource>(std::move(opened.first), describe(name));
    }
    [[nodiscard]] std::string describe(const std::string& name) const override {
        return base::in_quotes(base::join_path(path_, name));
    }

  private:
    base::Result<std::pair<base::UniqueFd, std::uint64_t>> open_regular(const std::string& name) const {
        // O_NONBLOCK: a FIFO in the place of a blob must not hang us.
        auto fd = base::open_at(fd_.get(), name, O_RDONLY | O_NONBLOCK);
        if (!fd) {
            const int err = fd.error().sys_errno;
            return base::fail_errno(err == ENOENT ? Code::source_not_found : Code::io, err,
                                    "cannot open " + describe(name));
        }
        struct stat st {};
        if (::fstat(fd->get(), &st) != 0 || !S_ISREG(st.st_mode)) {
            return fail(Code::source_not_found, describe(name) + " is not a regular file");
        }
        return std::pair(std::move(*fd), static_cast<std::uint64_t>(st.st_size));
    }

    std::string path_;
    base::UniqueFd fd_;
};

} // namespace

base::Result<std::shared_ptr<const FileTree>> open_directory_tree(const std::string& path) {
    auto fd = base::open_file(path, O_RDONLY | O_DIRECTORY);
    if (!fd) {
        const int err = fd.error().sys_errno;
        return base::fail_errno(err == ENOENT ? Code::source_not_found : Code::io, err,
                                "cannot open the directory " + base::in_quotes(path),
                                "check the path");
    }
    return std::make_shared<const DirectoryTree>(path, std::move(*fd));
}

base::Result<std::string> read_small(const FileTree& tree, const std::string& name, std::size_t max) {
    TRY_ASSIGN(auto source, tree.open(name));
    std::string content;
    std::array<std::uint8_t, 16 * 1024> buffer{};
    for (;;) {
        TRY_ASSIGN(const auto got, source->read(buffer));
        if (got == 0) {
            return content;
        }
        if (got > max - content.size()) {
            return fail(Code::limit_exceeded,
                        fmt::format("{} is larger than {}", tree.describe(name), base::size_text(max)));
        }
        content.append(reinterpret_cast<const char*>(buffer.data()), got);
    }
}

} // namespace slipway::prefetch::sources
