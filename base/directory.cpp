// SPDX-License-Identifier: Apache-2.0
#include "base/directory.hpp"

#include "base/fd.hpp"
#include "base/format.hpp"
#include "base/text.hpp"

#include <dirent.h>
#include <fcntl.h>

#include <cerrno>
#include <string_view>

namespace slipway::base {
bool DirectoryStream::next(Item& item) noexcept {
    for (;;) {
        if (at_ == filled_) {
            const auto got = ::getdents64(fd_, buffer_.data(), buffer_.size());
            if (got <= 0) {
                error_ = got < 0 ? errno : 0;
                return false;
            }
            at_ = 0;
            filled_ = static_cast<std::size_t>(got);
        }
        const auto* entry = reinterpret_cast<const dirent64*>(buffer_.data() + at_);
        at_ += entry->d_reclen;
        const std::string_view name = entry->d_name;
        if (name != "." && name != "..") {
            item = {entry->d_name, entry->d_type};
            return true;
        }
    }
}

Result<std::vector<DirectoryEntry>> list_directory(int fd, std::size_t max) {
    // Opened anew: a duplicate would share the position with the caller's.
    const UniqueFd own(::openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOCTTY));
    if (!own) {
        return fail_errno(Code::io, errno, "cannot list a directory");
    }
    std::vector<DirectoryEntry> entries;
    DirectoryStream stream(own.get());
    for (DirectoryStream::Item item; stream.next(item);) {
        if (entries.size() == max) {
            return fail(Code::limit_exceeded, fmt::format("more than {} entries", max));
        }
        entries.push_back({item.name, item.type});
    }
    if (stream.error() != 0) {
        return fail_errno(Code::io, stream.error(), "cannot list a directory");
    }
    return entries;
}

Result<std::vector<std::string>> names_in(const std::string& path, std::size_t max) {
    TRY_ASSIGN(const auto directory, open_file(path, O_RDONLY | O_DIRECTORY));
    auto entries = list_directory(directory.get(), max);
    if (!entries) {
        return Unexpected(std::move(entries).error().context(in_quotes(path)));
    }
    std::vector<std::string> names;
    names.reserve(entries->size());
    for (auto& entry : *entries) {
        names.push_back(std::move(entry.name));
    }
    return names;
}

} // namespace slipway::base
