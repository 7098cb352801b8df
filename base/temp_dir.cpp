// SPDX-License-Identifier: Apache-2.0
#include "base/temp_dir.hpp"

#include "base/directory.hpp"
#include "base/process_mark.hpp"
#include "base/text.hpp"

#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include <sys/stat.h>
#include <unistd.h>

namespace slipway::base {

TempDir& TempDir::operator=(TempDir&& other) noexcept {
    if (this != &other) {
        remove();
        path_ = std::exchange(other.path_, {});
    }
    return *this;
}

TempDir::~TempDir() {
    remove();
}

void TempDir::remove() noexcept {
    if (!path_.empty()) {
        (void)remove_tree(path_);
        path_.clear();
    }
}

Result<TempDir> TempDir::create(const std::string& prefix, const std::string& parent) {
    std::string pattern = parent;
    if (pattern.empty()) {
        const char* configured = std::getenv("TMPDIR");
        pattern = configured != nullptr && *configured == '/' ? configured : "/tmp";
    }
    pattern += "/" + prefix + "XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr) {
        return fail_errno(Code::io, errno, "cannot create a temporary directory " + in_quotes(pattern));
    }
    return TempDir(std::move(pattern));
}

Result<TempDir> TempDir::create_and_sweep(const std::string& prefix, const std::string& parent) {
    // "<prefix><mark>.XXXXXX"
    for (const auto& name : names_in(parent).value_or(std::vector<std::string>())) {
        const auto end = name.rfind('.');
        const auto path = parent + "/" + name;
        struct stat facts {};
        if (name.starts_with(prefix) && end != std::string::npos && end > prefix.size() &&
            is_mark_of_ended(std::string_view(name).substr(prefix.size(), end - prefix.size())) &&
            ::lstat(path.c_str(), &facts) == 0 && S_ISDIR(facts.st_mode) &&
            facts.st_uid == ::geteuid()) {
            (void)remove_tree(path);
        }
    }
    return create(prefix + process_mark() + ".", parent);
}

Result<void> remove_tree(const std::string& path) {
    std::error_code error;
    std::filesystem::remove_all(path, error);
    if (error) {
        return fail_errno(Code::io, error.value(), "cannot remove " + in_quotes(path));
    }
    return {};
}

} // namespace slipway::base
