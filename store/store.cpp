// SPDX-License-Identifier: Apache-2.0
#include "store/store.hpp"

#include "base/format.hpp"
#include "base/path.hpp"
#include "base/text.hpp"
#include "image/digest.hpp"
#include "store/files.hpp"

#include <algorithm>
#include <cerrno>
#include <ctime>

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

namespace slipway::store {
namespace {

constexpr const char* parts[] = {"images", "refs", "grants", "pins", "leases", "tmp"};
constexpr std::size_t max_json_bytes = 4U << 20U;

base::Result<void> check_directory(const StoreOptions& options) {
    struct stat st {};
    if (::stat(options.path.c_str(), &st) != 0) {
        return base::fail_errno(base::Code::store_unusable, errno,
                                "the store " + base::in_quotes(options.path) + " is not there",
                                "create it, or set store.path in the site configuration");
    }
    if (!S_ISDIR(st.st_mode)) {
        return base::fail(base::Code::store_unusable,
                          "the store " + base::in_quotes(options.path) + " is not a directory");
    }
    if (options.access == Access::read_only) {
        return {};
    }
    if (st.st_uid != ::geteuid()) {
        return base::fail(base::Code::store_unusable,
                          fmt::format("the store {} belongs to uid {}, not to uid {}",
                                      base::in_quotes(options.path), st.st_uid, ::geteuid()),
                          "stage as the store's owner, through the service, or use your own store");
    }
    if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        return base::fail(base::Code::store_unusable,
                          "others may write to the store " + base::in_quotes(options.path),
                          "run `chmod go-w` on it");
    }
    return {};
}

} // namespace

ImageId image_id(std::string_view manifest_digest, std::string_view platform,
                 std::string_view options, std::string_view format) {
    // Lengths in front of the parts: no two different inputs give the same text.
    std::string text = "slipway image\n";
    for (const auto part : {manifest_digest, platform, options, format}) {
        text += fmt::format("{}:{}\n", part.size(), part);
    }
    return image::sha256_hex(text);
}

bool is_image_id(std::string_view text) noexcept {
    return text.size() == 64 && std::all_of(text.begin(), text.end(), [](char c) {
               return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
           });
}

mode_t Store::dir_mode() const noexcept {
    return options_.access == Access::private_user ? 0700 : 0755;
}

mode_t Store::file_mode() const noexcept {
    return options_.access == Access::private_user ? 0600 : 0644;
}

base::Result<void> Store::step(std::string_view name) const {
    return options_.before_step ? options_.before_step(name) : base::Result<void>();
}

base::Result<Store> Store::open(StoreOptions options) {
    Store store(std::move(options));
    if (store.options_.access != Access::read_only) {
        auto made = base::make_directories(store.options_.path, store.dir_mode());
        if (!made) {
            return base::Unexpected(base::Error{base::Code::store_unusable, made.error().sys_errno,
                                                made.error().message,
                                                "set store.path to a place that you may write to"});
        }
    }
    TRY(check_directory(store.options_));
    for (const auto* part : parts) {
        const auto path = store.directory(part);
        if (store.options_.access == Access::read_only) {
            break;
        }
        if (::mkdir(path.c_str(), store.dir_mode()) == 0) {
            // The caller's umask does not decide who may read a shared store.
            (void)!::chmod(path.c_str(), store.dir_mode());
        } else if (errno != EEXIST) {
            return base::fail_errno(base::Code::store_unusable, errno,
                                    "cannot create " + base::in_quotes(path),
                                    "check that the store's file system is writable and not full");
        }
    }
    return store;
}

std::string Store::directory(std::string_view part) const {
    return base::join_path(options_.path, part);
}

std::string Store::image_path(const ImageId& id) const {
    return directory("images") + "/" + id + ".sif";
}

std::optional<StoredImage> Store::find(const ImageId& id) const {
    struct stat st {};
    StoredImage image{id, image_path(id), 0, 0, false, 0};
    if (!is_image_id(id) || ::stat(image.path.c_str(), &st) != 0 || !S_ISREG(st.st_mode)) {
        return std::nullopt;
    }
    image.size = static_cast<std::uint64_t>(st.st_size);
    image.published = st.st_mtime;
    image.pinned = ::access((directory("pins") + "/" + id).c_str(), F_OK) == 0;
    image.granted_until = granted_until(directory("grants") + "/" + id);
    return image;
}

std::optional<StoredImage> Store::find_again(const ImageId& id) const {
    if (auto image = find(id)) {
        return image;
    }
    base::ask_server_about(directory("images"));
    return find(id);
}

base::Result<StoredImage> Store::expect(const ImageId& id) const {
    constexpr int pause_ms = 100;
    for (std::uint64_t waited = 0;; waited += pause_ms) {
        if (auto image = find(id)) {
            return std::move(*image);
        }
        if (waited >= options_.appear_ms) {
            return base::fail(base::Code::not_staged,
                              "image " + id + " is not in the store " +
                                  base::in_quotes(options_.path),
                              "stage it again with `slipway stage`");
        }
        base::ask_server_about(directory("images"));
        ::poll(nullptr, 0, pause_ms);
    }
}

base::Result<Provenance> Store::provenance(const ImageId& id) const {
    TRY_ASSIGN(const auto text,
               base::read_file(directory("images") + "/" + id + ".json", max_json_bytes));
    return provenance_from_json(text);
}

base::Result<std::vector<StoredImage>> Store::list() const {
    std::vector<StoredImage> images;
    auto listed = list_directory(directory("images"));
    if (!listed && listed.error().sys_errno == ENOENT) {
        return images; // a store that nobody has written to yet
    }
    TRY_ASSIGN(const auto names, std::move(listed));
    for (const auto& name : names) {
        if (name.ends_with(".sif")) {
            if (auto image = find(name.substr(0, name.size() - 4))) {
                images.push_back(std::move(*image));
            }
        }
    }
    return images;
}

base::Result<void> Store::record_ref(const RefRecord& record) const {
    const auto dir = directory("refs") + "/" + image::sha256_hex(record.reference);
    TRY(step("ref-dir"));
    if (::mkdir(dir.c_str(), dir_mode()) != 0 && errno != EEXIST) {
        return base::fail_errno(base::Code::store_unusable, errno, "cannot record a reference");
    }
    // The time comes first in the name and has a fixed width: the newest name decides. Files are
    // never rewritten, so a tag that moves back to an old digest gets a new record.
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    const auto name = fmt::format("{:012}{:09}-{}.json", now.tv_sec, now.tv_nsec, record.digest);
    TRY(step("ref-write"));
    TRY(write_new_file(dir + "/" + name, to_json(record), file_mode()));
    constexpr std::size_t kept = 16;
    TRY_ASSIGN(auto names, list_directory(dir));
    std::sort(names.begin(), names.end());
    for (std::size_t i = 0; i + kept < names.size(); ++i) {
        ::unlink((dir + "/" + names[i]).c_str());
    }
    return {};
}

std::optional<RefRecord> Store::latest_ref(std::string_view reference,
                                           std::string_view platform) const {
    const auto dir = directory("refs") + "/" + image::sha256_hex(reference);
    auto names = list_directory(dir);
    if (!names) {
        base::ask_server_about(directory("refs"));
        names = list_directory(dir);
    }
    if (!names) {
        return std::nullopt;
    }
    std::sort(names->rbegin(), names->rend());
    for (const auto& name : *names) {
        const auto text = base::read_file(dir + "/" + name, max_json_bytes);
        if (!text) {
            continue;
        }
        auto record = ref_from_json(*text);
        if (record && record->reference == reference && record->platform == platform) {
            return std::move(*record);
        }
    }
    return std::nullopt;
}

} // namespace slipway::store
