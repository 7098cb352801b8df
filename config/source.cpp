// SPDX-License-Identifier: Apache-2.0
#include "base/format.hpp"
#include "base/path.hpp"
#include "base/text.hpp"
#include "base/trusted_path.hpp"
#include "config/config.hpp"
#include "config/schema.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#ifndef SLIPWAY_CONFIG_FILE
#error "the build must say where the site file is installed"
#endif

namespace slipway::config {
namespace {

using base::Code;
using base::fail_errno;
using base::in_quotes;
using base::Result;

constexpr std::string_view site_file = SLIPWAY_CONFIG_FILE;

/// O_NONBLOCK: a FIFO in place of the file must not hang the opener.
constexpr int open_flags = O_RDONLY | O_NONBLOCK | O_NOCTTY;

Result<base::UniqueFd> plain_file(base::UniqueFd file, const std::string& path) {
    struct stat facts {};
    if (::fstat(file.get(), &facts) != 0 || !S_ISREG(facts.st_mode)) {
        return wrong(in_quotes(path) + " is not a plain file", "name a YAML file");
    }
    return file;
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
    const bool guarded =
        reader == Reader::privileged || ::geteuid() == 0 || source.path == site_file;
    auto path = source.path;
    if (!path.starts_with('/')) {
        TRY_ASSIGN(const auto here, base::current_directory());
        path = base::join_path(here, path);
    }
    auto file = guarded ? base::open_trusted(path, open_flags, 0, Code::config_insecure)
                        : base::open_file(path, open_flags);
    if (file) {
        return plain_file(std::move(*file), source.path);
    }
    const int error = file.error().sys_errno;
    const bool absent = error == ENOENT || error == ENOTDIR;
    if (absent && !source.must_exist) {
        return base::UniqueFd();
    }
    if (file.error().code == Code::config_insecure) {
        return file;
    }
    return fail_errno(absent ? Code::config_missing : Code::io, error,
                      "cannot open the configuration " + in_quotes(source.path),
                      absent ? "check the path"
                             : "the site's configuration must be readable "
                               "for every user (mode 0644)");
}

Result<base::UniqueFd> open_draft(const std::string& path) {
    TRY_ASSIGN(auto file, base::open_file(path, open_flags));
    return plain_file(std::move(file), path);
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
