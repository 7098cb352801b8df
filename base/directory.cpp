// SPDX-License-Identifier: Apache-2.0
#include "base/directory.hpp"

#include "base/fd.hpp"
#include "base/format.hpp"
#include "base/text.hpp"

#include <cerrno>
#include <memory>
#include <string_view>

#include <dirent.h>
#include <fcntl.h>

namespace slipway::base {
namespace {

struct CloseDirectory {
    void operator()(DIR* directory) const noexcept { ::closedir(directory); }
};

} // namespace

Result<std::vector<DirectoryEntry>> list_directory(int fd, std::size_t max) {
    // Opened anew: a duplicate would share the position with the caller's.
    UniqueFd own(::openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOCTTY));
    const std::unique_ptr<DIR, CloseDirectory> directory(own ? ::fdopendir(own.get()) : nullptr);
    if (!directory) {
        return fail_errno(Code::io, errno, "cannot list a directory");
    }
    (void)own.release();
    std::vector<DirectoryEntry> entries;
    for (;;) {
        errno = 0;
        const dirent* entry = ::readdir(directory.get());
        if (entry == nullptr) {
            break;
        }
        const std::string_view name = entry->d_name;
        if (name == "." || name == "..") {
            continue;
        }
        if (entries.size() == max) {
            return fail(Code::limit_exceeded, fmt::format("more than {} entries", max));
        }
        entries.push_back({std::string(name), entry->d_type});
    }
    if (errno != 0) {
        return fail_errno(Code::io, errno, "cannot list a directory");
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
