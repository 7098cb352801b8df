// SPDX-License-Identifier: Apache-2.0
#include "base/temp_dir.hpp"

#include "base/text.hpp"

#include <cerrno>
#include <cstdlib>
#include <filesystem>

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

Result<void> remove_tree(const std::string& path) {
    std::error_code error;
    std::filesystem::remove_all(path, error);
    if (error) {
        return fail_errno(Code::io, error.value(), "cannot remove " + in_quotes(path));
    }
    return {};
}

} // namespace slipway::base
