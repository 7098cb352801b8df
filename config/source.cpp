// SPDX-License-Identifier: Apache-2.0
#include "base/format.hpp"
#include "base/path.hpp"
#include "base/text.hpp"
#include "config/config.hpp"
#include "config/document.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>

#ifndef SLIPWAY_CONFIG_FILE
#error "the build must say where the site file is installed"
#endif

namespace slipway::config {
namespace {

using base::Code;
using base::fail;
using base::fail_errno;
using base::in_quotes;
using base::Result;

constexpr std::string_view site_file = SLIPWAY_CONFIG_FILE;

/// Owned by root and writable for nobody else; a directory may also be like /tmp.
Result<void> check_owner(const struct stat& facts, const std::string& path) {
    const bool sticky = S_ISDIR(facts.st_mode) && (facts.st_mode & S_ISVTX) != 0;
    if (facts.st_uid != 0) {
        return fail(
            Code::config_insecure,
            fmt::format("{} belongs to user {}, not to root", in_quotes(path), facts.st_uid),
            fmt::format("chown root {}", path));
    }
    if ((facts.st_mode & (S_IWGRP | S_IWOTH)) != 0 && !sticky) {
        return fail(Code::config_insecure,
                    fmt::format("{} is writable for group or others (mode {:04o})", in_quotes(path),
                                facts.st_mode & 07777U),
                    fmt::format("chmod go-w {}", path));
    }
    return {};
}

/// The file and every directory above it, by the real path of the open file.
Result<void> check_trusted(int fd, const std::string& path) {
    struct stat facts {};
    if (::fstat(fd, &facts) != 0) {
        return fail_errno(Code::io, errno, "cannot look at " + in_quotes(path));
    }
    TRY(check_owner(facts, path));
    std::string real(PATH_MAX, '\0');
    const auto link = fmt::format("/proc/self/fd/{}", fd);
    const ssize_t length = ::readlink(link.c_str(), real.data(), real.size());
    if (length <= 0 || static_cast<std::size_t>(length) == real.size() || real.front() != '/') {
        return fail_errno(Code::io, length < 0 ? errno : ENAMETOOLONG,
                          "cannot find the real place of " + in_quotes(path));
    }
    real.resize(static_cast<std::size_t>(length));
    while (real != "/") {
        real = std::string(base::dir_name(real));
        if (::stat(real.c_str(), &facts) != 0) {
            return fail_errno(Code::io, errno, "cannot look at " + in_quotes(real));
        }
        TRY(check_owner(facts, real));
    }
    return {};
}

} // namespace

Source find_source(Reader reader, std::string_view given) {
    if (!given.empty()) {
        return {std::string(given), true};
    }
    if (reader == Reader::user) {
        // secure_getenv: nothing that runs with more rights than its caller may be steered.
        const char* chosen = ::secure_getenv("SLIPWAY_CONFIG");
        if (chosen != nullptr && *chosen != '\0') {
            return {chosen, true};
        }
    }
    return {std::string(site_file), false};
}

Result<base::UniqueFd> open_source(Reader reader, const Source& source) {
    // O_NONBLOCK: a FIFO in place of the file must not hang the opener.
    auto file = base::open_file(source.path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (!file) {
        const int error = file.error().sys_errno;
        if ((error == ENOENT || error == ENOTDIR) && !source.must_exist) {
            return base::UniqueFd();
        }
        const bool absent = error == ENOENT || error == ENOTDIR;
        return fail_errno(absent ? Code::config_missing : Code::io, error,
                          "cannot open the configuration " + in_quotes(source.path),
                          absent ? "check the path"
                                 : "the site's configuration must be readable "
                                   "for every user (mode 0644)");
    }
    struct stat facts {};
    if (::fstat(file->get(), &facts) != 0 || !S_ISREG(facts.st_mode)) {
        return fail(Code::config_invalid, in_quotes(source.path) + " is not a plain file",
                    "name a YAML file");
    }
    const bool guarded =
        reader == Reader::privileged || ::geteuid() == 0 || source.path == site_file;
    if (guarded) {
        TRY(check_trusted(file->get(), source.path));
    }
    return std::move(*file);
}

Result<Config> load_fd(int fd, std::string_view name) {
    if (fd < 0) {
        return Config{};
    }
    if (::lseek(fd, 0, SEEK_SET) < 0) {
        return fail_errno(Code::io, errno, "cannot read " + in_quotes(name));
    }
    auto text = base::read_to_end(fd, max_file_bytes);
    if (!text) {
        return tl::unexpected<base::Error>(std::move(text).error().context(in_quotes(name)));
    }
    return parse(*text, name);
}

Result<Config> load(Reader reader, std::string_view given) {
    const auto source = find_source(reader, given);
    TRY_ASSIGN(const auto file, open_source(reader, source));
    return load_fd(file.get(), source.path);
}

} // namespace slipway::config
