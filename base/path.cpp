// SPDX-License-Identifier: Apache-2.0
#include "base/path.hpp"

#include "base/text.hpp"

#include <array>
#include <cerrno>
#include <climits>

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <unistd.h>

namespace slipway::base {

std::vector<std::string> components(std::string_view path) {
    std::vector<std::string> parts;
    for (const auto part : split(path, '/')) {
        if (!part.empty() && part != ".") {
            parts.emplace_back(part);
        }
    }
    return parts;
}

std::string clean_path(std::string_view path) {
    const bool absolute = !path.empty() && path.front() == '/';
    std::vector<std::string> kept;
    for (auto& part : components(path)) {
        if (part != "..") {
            kept.push_back(std::move(part));
        } else if (!kept.empty() && kept.back() != "..") {
            kept.pop_back();
        } else if (!absolute) {
            kept.push_back(std::move(part));
        }
    }
    std::string clean = absolute ? "/" : "";
    for (std::size_t i = 0; i < kept.size(); ++i) {
        clean += i == 0 ? kept[i] : "/" + kept[i];
    }
    return clean.empty() ? "." : clean;
}

bool has_dotdot(std::string_view path) {
    for (const auto part : split(path, '/')) {
        if (part == "..") {
            return true;
        }
    }
    return false;
}

bool is_beneath(std::string_view path, std::string_view prefix) {
    const auto whole = clean_path(path);
    const auto front = clean_path(prefix);
    if (front == "/") {
        return whole.front() == '/';
    }
    return whole == front || (whole.size() > front.size() && whole.starts_with(front) &&
                              whole[front.size()] == '/');
}

std::string join_path(std::string_view directory, std::string_view name) {
    std::string joined(directory);
    if (!joined.empty() && joined.back() != '/' && !name.starts_with('/')) {
        joined += '/';
    } else if (!joined.empty() && joined.back() == '/' && name.starts_with('/')) {
        name.remove_prefix(1);
    }
    joined += name;
    return joined;
}

std::string_view base_name(std::string_view path) noexcept {
    const auto slash = path.rfind('/');
    return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

std::string_view dir_name(std::string_view path) noexcept {
    const auto slash = path.rfind('/');
    if (slash == std::string_view::npos) {
        return ".";
    }
    return slash == 0 ? "/" : path.substr(0, slash);
}

Result<UniqueFd> open_in_root(int root_fd, const std::string& path, int flags) {
    return open_resolved(root_fd, path, static_cast<std::uint64_t>(flags),
                         RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

Result<void> make_directories(const std::string& path, mode_t mode) {
    std::string so_far = path.starts_with('/') ? "/" : "";
    for (const auto& part : components(path)) {
        so_far += part;
        if (::mkdir(so_far.c_str(), mode) != 0 && errno != EEXIST) {
            const int err = errno;
            // NFS checks the right to write before it looks whether the directory is there.
            struct stat st {};
            if (::stat(so_far.c_str(), &st) != 0 || !S_ISDIR(st.st_mode)) {
                return fail_errno(Code::io, err, "cannot create directory " + in_quotes(so_far));
            }
        }
        so_far += '/';
    }
    return {};
}

Result<std::string> current_directory() {
    std::array<char, PATH_MAX> buffer{};
    if (::getcwd(buffer.data(), buffer.size()) == nullptr || buffer[0] != '/') {
        return fail_errno(Code::system, errno, "cannot find out the current directory",
                          "it may have been removed; change to another one");
    }
    return std::string(buffer.data());
}

} // namespace slipway::base
