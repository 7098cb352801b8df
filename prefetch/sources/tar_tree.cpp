// SPDX-License-Identifier: Apache-2.0
// The only file of sources/ that includes libarchive: image archives as docker, podman, skopeo and
// buildx write them.
#include "base/format.hpp"
#include "base/path.hpp"
#include "base/text.hpp"
#include "prefetch/sources/file_tree.hpp"
#include "prefetch/sources/spool_file.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <vector>

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace slipway::prefetch::sources {
namespace {

using base::Code;
using base::fail;

constexpr std::size_t max_entries = 200'000;
constexpr int max_links = 16;
constexpr std::size_t block = 256 * 1024;

/// libarchive reading an open file from its start by pread, so that many readers share one
/// descriptor.
class ArchiveReader {
  public:
    enum class Form {
        tar,         ///< an uncompressed archive
        any_as_bytes ///< whatever is compressed, as one stream
    };
    explicit ArchiveReader(int fd, std::uint64_t size)
        : archive_(archive_read_new()), fd_(fd), size_(size) {}
    ArchiveReader(const ArchiveReader&) = delete;
    ArchiveReader& operator=(const ArchiveReader&) = delete;
    ~ArchiveReader() { archive_read_free(archive_); }

    base::Result<void> start(Form form) {
        if (form == Form::tar) {
            archive_read_support_format_tar(archive_);
        } else {
            archive_read_support_format_raw(archive_);
            archive_read_support_filter_gzip(archive_);
            archive_read_support_filter_zstd(archive_);
            archive_read_support_filter_xz(archive_);
            archive_read_support_filter_bzip2(archive_);
        }
        archive_read_set_read_callback(archive_, &ArchiveReader::read_some);
        archive_read_set_skip_callback(archive_, &ArchiveReader::skip_some);
        archive_read_set_callback_data(archive_, this);
        if (archive_read_open1(archive_) != ARCHIVE_OK) {
            return broken();
        }
        return {};
    }

    /// The next entry, or null at the end.
    base::Result<archive_entry*> next() {
        archive_entry* entry = nullptr;
        const int status = archive_read_next_header(archive_, &entry);
        if (status == ARCHIVE_EOF) {
            return static_cast<archive_entry*>(nullptr);
        }
        if (status != ARCHIVE_OK && status != ARCHIVE_WARN) {
            return broken();
        }
        return entry;
    }

    base::Result<std::size_t> read(std::span<std::uint8_t> buffer) {
        const auto got = archive_read_data(archive_, buffer.data(), buffer.size());
        if (got < 0) {
            return broken();
        }
        return static_cast<std::size_t>(got);
    }

  private:
    base::Unexpected broken() {
        const char* why = archive_error_string(archive_);
        return fail(Code::source_protocol,
                    fmt::format("the archive cannot be read: {}",
                                base::printable(why == nullptr ? "it is damaged" : why)),
                    "write the archive again");
    }
    static la_ssize_t read_some(archive* a, void* self, const void** out) noexcept {
        auto& reader = *static_cast<ArchiveReader*>(self);
        for (;;) {
            const auto got = ::pread(reader.fd_, reader.buffer_.data(), reader.buffer_.size(),
                                     static_cast<off_t>(reader.offset_));
            if (got < 0 && errno == EINTR) {
                continue;
            }
            if (got < 0) {
                archive_set_error(a, errno, "read error");
                return -1;
            }
            reader.offset_ += static_cast<std::uint64_t>(got);
            *out = reader.buffer_.data();
            return got;
        }
    }
    static la_int64_t skip_some(archive*, void* self, la_int64_t wanted) noexcept {
        auto& reader = *static_cast<ArchiveReader*>(self);
        const auto left = reader.size_ > reader.offset_ ? reader.size_ - reader.offset_ : 0;
        const auto step = std::min(static_cast<std::uint64_t>(std::max<la_int64_t>(wanted, 0)), left);
        reader.offset_ += step;
        return static_cast<la_int64_t>(step);
    }

    archive* archive_;
    int fd_;
    std::uint64_t size_;
    std::uint64_t offset_ = 0;
    std::vector<std::uint8_t> buffer_ = std::vector<std::uint8_t>(block);
};

struct Member {
    std::size_t ordinal = 0; ///< among all headers of the archive
    std::uint64_t size = 0;
    bool regular = false;
    std::string link; ///< name in the archive that a link leads to; "" for no link
};

/// Names as one spelling: no leading "./" or "/", no "..".
std::string member_name(std::string_view written) {
    const auto cleaned = base::clean_path(fmt::format("/{}", written));
    return cleaned.substr(1);
}

std::string link_target(const std::string& name, archive_entry* entry) {
    if (const char* hard = archive_entry_hardlink(entry); hard != nullptr) {
        return member_name(hard);
    }
    const char* target = archive_entry_symlink(entry);
    if (target == nullptr || *target == '\0') {
        return {};
    }
    const auto path = "/" + name; // dir_name() gives a part of it
    return member_name(*target == '/' ? std::string(target)
                                      : base::join_path(base::dir_name(path), target));
}

/// One member, found again by its position.
class MemberSource : public base::ByteSource {
  public:
    MemberSource(std::shared_ptr<const void> keep, int fd, std::uint64_t size)
        : keep_(std::move(keep)), reader_(fd, size) {}
    base::Result<void> seek(std::size_t ordinal) {
        TRY(reader_.start(ArchiveReader::Form::tar));
        for (std::size_t i = 0; i <= ordinal; ++i) {
            TRY_ASSIGN(const auto* entry, reader_.next());
            if (entry == nullptr) {
                return fail(Code::source_protocol, "the archive changed while it was read");
            }
        }
        return {};
    }
    base::Result<std::size_t> read(std::span<std::uint8_t> buffer) override {
        return reader_.read(buffer);
    }

  private:
    std::shared_ptr<const void> keep_; ///< owns the descriptor
    ArchiveReader reader_;
};

class TarTree : public FileTree, public std::enable_shared_from_this<TarTree> {
  public:
    TarTree(std::string path, base::UniqueFd fd, std::uint64_t size)
        : path_(std::move(path)), fd_(std::move(fd)), size_(size) {}

    base::Result<void> read_index() {
        ArchiveReader reader(fd_.get(), size_);
        TRY(reader.start(ArchiveReader::Form::tar));
        for (std::size_t ordinal = 0;; ++ordinal) {
            TRY_ASSIGN(auto* entry, reader.next());
            if (entry == nullptr) {
                return {};
            }
            if (ordinal == max_entries) {
                return fail(Code::limit_exceeded,
                            fmt::format("the archive has more than {} entries", max_entries),
                            "this is no archive of an image");
            }
            const char* written = archive_entry_pathname(entry);
            const auto name = member_name(written == nullptr ? "" : written);
            Member member;
            member.ordinal = ordinal;
            member.link = link_target(name, entry);
            member.regular = member.link.empty() && archive_entry_filetype(entry) == AE_IFREG;
            member.size = static_cast<std::uint64_t>(std::max<la_int64_t>(0, archive_entry_size(entry)));
            members_.insert_or_assign(name, std::move(member));
        }
    }

    [[nodiscard]] bool exists(const std::string& name) const override { return find(name) != nullptr; }
    base::Result<std::uint64_t> size(const std::string& name) const override {
        const auto* member = find(name);
        if (member == nullptr) {
            return missing(name);
        }
        return member->size;
    }
    base::Result<std::unique_ptr<base::ByteSource>> open(const std::string& name) const override {
        const auto* member = find(name);
        if (member == nullptr) {
            return missing(name);
        }
        auto source = std::make_unique<MemberSource>(shared_from_this(), fd_.get(), size_);
        TRY(source->seek(member->ordinal));
        return std::unique_ptr<base::ByteSource>(std::move(source));
    }
    [[nodiscard]] std::string describe(const std::string& name) const override {
        return fmt::format("{} in {}", base::in_quotes(name), base::in_quotes(path_));
    }

  private:
    [[nodiscard]] const Member* find(const std::string& name) const {
        auto found = members_.find(member_name(name));
        for (int i = 0; i < max_links && found != members_.end() && !found->second.link.empty(); ++i) {
            found = members_.find(found->second.link);
        }
        return found != members_.end() && found->second.regular ? &found->second : nullptr;
    }
    [[nodiscard]] base::Unexpected missing(const std::string& name) const {
        return fail(Code::source_not_found, "there is no file " + describe(name),
                    "the archive is incomplete; write it again");
    }

    std::string path_;
    base::UniqueFd fd_;
    std::uint64_t size_;
    std::map<std::string, Member> members_;
};

bool is_compressed(int fd) {
    std::array<std::uint8_t, 6> magic{};
    if (!base::read_exact_at(fd, magic, 0)) {
        return false;
    }
    const auto begins = [&](std::initializer_list<int> bytes) {
        return std::equal(bytes.begin(), bytes.end(), magic.begin());
    };
    const bool zstd_skippable = (magic[0] & 0xf0) == 0x50 && magic[1] == 0x2a && magic[2] == 0x4d &&
                                magic[3] == 0x18;
    return begins({0x1f, 0x8b}) || begins({0x28, 0xb5, 0x2f, 0xfd}) || zstd_skippable ||
           begins({0xfd, '7', 'z', 'X', 'Z', 0}) || begins({'B', 'Z', 'h'});
}

base::Result<std::pair<base::UniqueFd, std::uint64_t>> unpack(int fd, std::uint64_t size, int directory,
                                                              std::uint64_t max) {
    TRY_ASSIGN(auto spool, make_spool_file(directory));
    ArchiveReader reader(fd, size);
    TRY(reader.start(ArchiveReader::Form::any_as_bytes));
    TRY_ASSIGN(const auto* entry, reader.next());
    std::uint64_t written = 0;
    std::vector<std::uint8_t> buffer(block);
    while (entry != nullptr) {
        TRY_ASSIGN(const auto got, reader.read(buffer));
        if (got == 0) {
            break;
        }
        if (got > max - written) {
            return fail(Code::limit_exceeded,
                        fmt::format("the unpacked archive is larger than {}", base::size_text(max)),
                        "give more room by SLIPWAY_CACHEDIR or unpack the archive beforehand");
        }
        auto stored = base::write_all_at(spool.get(), {buffer.data(), got}, written);
        if (!stored) {
            return base::Unexpected(std::move(stored).error().context("cannot unpack the archive"));
        }
        written += got;
    }
    return std::pair(std::move(spool), written);
}

} // namespace

base::Result<std::shared_ptr<const FileTree>> open_tar_tree(const std::string& path,
                                                            int spool, std::uint64_t max_unpacked) {
    auto fd = base::open_file(path, O_RDONLY | O_NONBLOCK);
    if (!fd) {
        const int err = fd.error().sys_errno;
        return base::fail_errno(err == ENOENT ? Code::source_not_found : Code::io, err,
                                "cannot open the archive " + base::in_quotes(path), "check the path");
    }
    struct stat st {};
    if (::fstat(fd->get(), &st) != 0 || !S_ISREG(st.st_mode)) {
        return fail(Code::source_not_found, base::in_quotes(path) + " is not a regular file",
                    "an archive is a tar file, a layout directory is `oci:`");
    }
    auto size = static_cast<std::uint64_t>(st.st_size);
    if (is_compressed(fd->get())) {
        auto unpacked = unpack(fd->get(), size, spool, max_unpacked);
        if (!unpacked) {
            return base::Unexpected(std::move(unpacked).error().context(base::in_quotes(path)));
        }
        *fd = std::move(unpacked->first);
        size = unpacked->second;
    }
    auto tree = std::make_shared<TarTree>(path, std::move(*fd), size);
    auto indexed = tree->read_index();
    if (!indexed) {
        return base::Unexpected(std::move(indexed).error().context(base::in_quotes(path)));
    }
    return tree;
}

} // namespace slipway::prefetch::sources
