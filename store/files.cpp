// SPDX-License-Identifier: Apache-2.0
#include "store/files.hpp"

#include "base/fd.hpp"
#include "base/format.hpp"
#include "base/text.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <memory>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace slipway::store {

base::Result<std::vector<std::string>> list_directory(const std::string& path) {
    struct CloseDir {
        void operator()(DIR* dir) const noexcept { ::closedir(dir); }
    };
    const std::unique_ptr<DIR, CloseDir> dir(::opendir(path.c_str()));
    if (!dir) {
        return base::fail_errno(base::Code::io, errno, "cannot list " + base::in_quotes(path));
    }
    std::vector<std::string> names;
    for (const dirent* entry = ::readdir(dir.get()); entry != nullptr;
         entry = ::readdir(dir.get())) {
        const std::string_view name = entry->d_name;
        if (name != "." && name != "..") {
            names.emplace_back(name);
        }
    }
    return names;
}

std::int64_t server_now(const std::string& directory) {
    const auto probe = fmt::format("{}/.clock.{}", directory, ::getpid());
    struct stat st {};
    const auto file = base::open_file(probe, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
    const bool known = file && ::fstat(file->get(), &st) == 0;
    ::unlink(probe.c_str());
    return known ? st.st_mtime : 0;
}

base::Result<void> write_new_file(const std::string& path, std::string_view content, mode_t mode) {
    static std::atomic<unsigned> counter{0};
    const auto own = fmt::format("{}.new.{}.{}", path, ::getpid(), counter.fetch_add(1));
    auto write = [&]() -> base::Result<void> {
        TRY_ASSIGN(auto file,
                   base::open_file(own, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode));
        TRY(base::write_all(file.get(), content));
        if (::fchmod(file.get(), mode) != 0 || ::fsync(file.get()) != 0) {
            return base::fail_errno(errno == ENOSPC ? base::Code::out_of_space : base::Code::io,
                                    errno, "cannot save " + base::in_quotes(path));
        }
        TRY(file.close());
        if (::link(own.c_str(), path.c_str()) != 0) {
            return base::fail_errno(base::Code::io, errno, "cannot publish " + base::in_quotes(path));
        }
        return {};
    };
    auto result = write();
    ::unlink(own.c_str());
    return result;
}

base::Result<void> sync_path(const std::string& path, bool directory) {
    TRY_ASSIGN(const auto file,
               base::open_file(path, O_RDONLY | (directory ? O_DIRECTORY : O_NOFOLLOW)));
    // Some network file systems cannot sync a directory; what matters there is the server.
    if (::fsync(file.get()) != 0 && !(directory && errno == EINVAL)) {
        return base::fail_errno(errno == ENOSPC || errno == EDQUOT ? base::Code::out_of_space
                                                                   : base::Code::io,
                                errno, "cannot sync " + base::in_quotes(path));
    }
    return {};
}

std::int64_t granted_until(const std::string& grant_dir) {
    const auto names = list_directory(grant_dir);
    std::int64_t latest = 0;
    if (names) {
        for (const auto& name : *names) {
            const auto dot = name.rfind('.');
            if (dot != std::string::npos) {
                const auto until = base::parse_u64(std::string_view(name).substr(dot + 1), INT64_MAX);
                latest = std::max(latest, static_cast<std::int64_t>(until.value_or(0)));
            }
        }
    }
    return latest;
}

std::uint64_t tree_bytes(const std::string& path) {
    std::uint64_t sum = 0;
    std::error_code error;
    auto walk = std::filesystem::recursive_directory_iterator(
        path, std::filesystem::directory_options::skip_permission_denied, error);
    while (!error && walk != std::filesystem::recursive_directory_iterator()) {
        struct stat st {};
        if (::lstat(walk->path().c_str(), &st) == 0 && S_ISREG(st.st_mode)) {
            // Blocks, not length: a sparse or just created file takes what it takes.
            sum += static_cast<std::uint64_t>(st.st_blocks) * 512;
        }
        walk.increment(error);
    }
    return sum;
}

} // namespace slipway::store
