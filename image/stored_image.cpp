// SPDX-License-Identifier: Apache-2.0
#include "image/stored_image.hpp"

#include "base/format.hpp"
#include "base/owned_file.hpp"
#include "base/path.hpp"
#include "base/text.hpp"
#include "base/words.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

namespace slipway::image {
namespace {

using base::Code;
using base::fail;
using base::fail_errno;
using base::in_quotes;

constexpr const char* images_directory = "images";
constexpr std::string_view ending = ".sif";
constexpr const char* look_at_store = "have the owner of the store look at it: `slipway cache fsck`";

/// An error of the way as one of the image.
base::Unexpected cannot_open(const base::Error& error, const std::string& path) {
    const int err = error.sys_errno;
    if (err == 0) {
        return fail(Code::image_unreadable,
                    fmt::format("{} is not what a store has made: {}", in_quotes(path),
                                error.message),
                    look_at_store);
    }
    const bool missing = err == ENOENT || err == ENOTDIR;
    return fail_errno(missing ? Code::image_not_found : Code::image_unreadable, err,
                      fmt::format("cannot open image {}", in_quotes(path)),
                      missing ? "it may have been removed from the store; stage it again"
                              : look_at_store);
}

} // namespace

std::string stored_image_path(const std::string& store, const std::string& id) {
    return base::join_path(base::join_path(store, images_directory), id + std::string(ending));
}

std::optional<StoredImageName> parse_stored_image_path(const std::string& path) {
    const auto directory = base::dir_name(path);
    auto id = base::base_name(path);
    if (!path.starts_with('/') || base::base_name(directory) != images_directory ||
        !id.ends_with(ending)) {
        return std::nullopt;
    }
    id.remove_suffix(ending.size());
    return base::is_lower_hex(id) ? std::optional(StoredImageName{
                                        std::string(base::dir_name(directory)), std::string(id)})
                                  : std::nullopt;
}


Result<OpenImage> open_stored_image_in(int root, const std::string& store, const std::string& id,
                                       uid_t owner) {
    const auto path = stored_image_path(store, id);
    if (!base::is_lower_hex(id)) {
        return fail(Code::image_not_found, in_quotes(id) + " is no name of an image");
    }
    auto images = base::open_owned(root, images_directory, O_PATH | O_DIRECTORY, owner,
                                   std::string(base::dir_name(path)), Code::image_unreadable);
    if (!images) {
        return cannot_open(images.error(), path);
    }
    const auto open = [&] {
        return base::open_owned(images->get(), id + std::string(ending), O_RDONLY, owner, path,
                                Code::image_unreadable);
    };
    auto file = open();
    if (!file && (file.error().sys_errno == ENOENT || file.error().sys_errno == ESTALE)) {
        // Opening the directory makes an NFS client forget what it remembers of it.
        (void)base::open_at(images->get(), ".", O_RDONLY | O_DIRECTORY);
        file = open();
    }
    if (!file) {
        return cannot_open(file.error(), path);
    }
    struct stat facts {};
    if (::fstat(file->get(), &facts) != 0) {
        return fail_errno(Code::image_unreadable, errno, "cannot look at " + in_quotes(path));
    }
    return OpenImage{.fd = std::move(*file),
                     .directory = false,
                     .size = static_cast<std::uint64_t>(facts.st_size)};
}

Result<OpenImage> open_stored_image(const std::string& store, const std::string& id,
                                    std::optional<uid_t> owner) {
    auto root = base::open_file(store, O_PATH | O_DIRECTORY);
    if (!root) {
        return fail_errno(Code::image_unreadable, root.error().sys_errno,
                          fmt::format("cannot open the store {}", in_quotes(store)),
                          "is its file system mounted on this node?");
    }
    struct stat facts {};
    if (::fstat(root->get(), &facts) != 0) {
        return fail_errno(Code::image_unreadable, errno, "cannot look at " + in_quotes(store));
    }
    if (const auto fault = base::owner_fault(facts, owner.value_or(facts.st_uid)); !fault.empty()) {
        return fail(Code::image_unreadable,
                    fmt::format("the store {} {}", in_quotes(store), fault), look_at_store);
    }
    return open_stored_image_in(root->get(), store, id, facts.st_uid);
}

} // namespace slipway::image
