// SPDX-License-Identifier: Apache-2.0
#include "launcher/store_image.hpp"

#include "base/format.hpp"
#include "base/path.hpp"
#include "base/text.hpp"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>

#include <cerrno>

namespace slipway::launcher {
namespace {

using base::Code;
using base::fail;
using base::fail_errno;
using base::in_quotes;
using base::Result;
using base::Unexpected;
using base::UniqueFd;

constexpr const char* images_directory = "images";

Result<struct stat> facts_of(int fd, const std::string& path) {
    struct stat st {};
    if (::fstat(fd, &st) != 0) {
        return fail_errno(Code::image_unreadable, errno,
                          fmt::format("cannot look at {}", in_quotes(path)));
    }
    return st;
}

bool others_may_write(const struct stat& st) noexcept {
    return (st.st_mode & (S_IWGRP | S_IWOTH)) != 0;
}

Result<UniqueFd> open_beneath(int directory, const std::string& name, std::uint64_t flags,
                              const std::string& path) {
    auto fd = base::open_resolved(directory, name, flags, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
    if (fd) {
        return fd;
    }
    const int err = fd.error().sys_errno;
    const bool missing = err == ENOENT || err == ENOTDIR;
    return fail_errno(missing ? Code::image_not_found : Code::image_unreadable, err,
                      fmt::format("cannot open image {}", in_quotes(path)),
                      missing ? "it may have been removed from the site's store; stage it again"
                              : "ask the administrator to look at the site's store");
}

} // namespace

std::string store_image_path(const std::string& store, const std::string& id) {
    return base::join_path(base::join_path(store, images_directory), id + ".sif");
}

Result<image::OpenImage> open_store_image(const std::string& store, const std::string& id) {
    if (store.empty()) {
        return fail(Code::image_not_found, "this node's site file names no store (store.path)",
                    "the administrator gives every node the same site file");
    }
    const auto path = store_image_path(store, id);
    auto root = base::open_file(store, O_PATH | O_DIRECTORY);
    if (!root) {
        return fail_errno(Code::image_unreadable, root.error().sys_errno,
                          fmt::format("cannot open the site's store {}", in_quotes(store)),
                          "is its file system mounted on this node?");
    }
    TRY_ASSIGN(const auto images,
               open_beneath(root->get(), images_directory, O_PATH | O_DIRECTORY, path));
    const auto open = [&] {
        return open_beneath(images.get(), id + ".sif", O_RDONLY | O_NONBLOCK | O_NOCTTY, path);
    };
    auto file = open();
    if (!file && file.error().sys_errno == ENOENT) {
        base::ask_server_about(std::string(base::dir_name(path)));
        file = open();
    }
    if (!file) {
        return Unexpected(std::move(file).error());
    }
    TRY_ASSIGN(const auto store_facts, facts_of(root->get(), store));
    TRY_ASSIGN(const auto directory_facts, facts_of(images.get(), path));
    TRY_ASSIGN(const auto facts, facts_of(file->get(), path));
    if (!S_ISREG(facts.st_mode) || facts.st_uid != store_facts.st_uid ||
        directory_facts.st_uid != store_facts.st_uid || others_may_write(facts) ||
        others_may_write(directory_facts)) {
        return fail(Code::image_unreadable,
                    fmt::format("{} is not what the site's store has made: another owner, another "
                                "kind, or others may write to it",
                                in_quotes(path)),
                    "ask the administrator to look at the site's store");
    }
    return image::OpenImage{.fd = std::move(*file),
                            .directory = false,
                            .size = static_cast<std::uint64_t>(facts.st_size)};
}

} // namespace slipway::launcher
