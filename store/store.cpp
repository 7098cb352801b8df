// SPDX-License-Identifier: Apache-2.0
#include "store/store.hpp"

#include "base/directory.hpp"
#include "base/errno_code.hpp"
#include "base/format.hpp"
#include "base/path.hpp"
#include "base/text.hpp"
#include "image/digest.hpp"
#include "image/stored_image.hpp"
#include "store/files.hpp"
#include "store/process_id.hpp"

#include <algorithm>
#include <cerrno>
#include <ctime>

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

namespace slipway::store {
namespace {

constexpr std::size_t max_json_bytes = 4U << 20U;

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

base::Result<void> Store::step(std::string_view name) const {
    return options_.before_step ? options_.before_step(name) : base::Result<void>();
}

base::Result<Store> Store::open(StoreOptions options) {
    TRY_ASSIGN(auto root, Root::open(options.path, options.access));
    return Store(std::move(options), std::move(root));
}

std::string Store::directory(std::string_view part) const {
    return base::join_path(options_.path, part);
}

std::string Store::image_path(const ImageId& id) const {
    return image::stored_image_path(options_.path, id);
}

base::Result<image::OpenImage> Store::open_image(const ImageId& id) const {
    TRY_ASSIGN(const auto root, root_.directory(O_PATH));
    return image::open_stored_image_in(root.get(), options_.path, id, root_.owner());
}

struct Store::View {
    base::UniqueFd images;
    base::UniqueFd pins;
    base::UniqueFd grants;
};

base::Result<Store::View> Store::view() const {
    TRY_ASSIGN(const auto root, root_.directory(O_PATH));
    View view;
    TRY_ASSIGN(view.images, root_.inner(root.get(), name_of(Part::images), O_PATH));
    // An older store may lack these, and who only reads does not make them.
    for (const auto& [part, dir] :
         {std::pair(Part::pins, &view.pins), std::pair(Part::grants, &view.grants)}) {
        auto opened = root_.inner(root.get(), name_of(part), O_PATH);
        if (!opened && opened.error().sys_errno != ENOENT) {
            return base::Unexpected(std::move(opened.error()));
        }
        *dir = opened ? std::move(*opened) : base::UniqueFd();
    }
    return view;
}

std::optional<StoredImage> Store::look(const ImageId& id, const View& view) const {
    struct stat facts {};
    const auto name = id + ".sif";
    const auto is_ours = [&] { return S_ISREG(facts.st_mode) && facts.st_uid == root_.owner(); };
    if (!is_image_id(id) ||
        ::fstatat(view.images.get(), name.c_str(), &facts, AT_SYMLINK_NOFOLLOW) != 0 ||
        !is_ours()) {
        return std::nullopt;
    }
    StoredImage image;
    image.id = id;
    image.path = image_path(id);
    image.size = static_cast<std::uint64_t>(facts.st_size);
    image.disk_bytes = static_cast<std::uint64_t>(facts.st_blocks) * 512;
    image.published = facts.st_mtime;
    image.pinned = ::fstatat(view.pins.get(), id.c_str(), &facts, AT_SYMLINK_NOFOLLOW) == 0 &&
                   is_ours();
    image.grants = grants_in(view.grants.get(), id);
    for (const auto& grant : image.grants) {
        image.granted_until = std::max(image.granted_until, grant.until);
    }
    return image;
}

std::optional<StoredImage> Store::find(const ImageId& id) const {
    const auto directories = view();
    return directories ? look(id, *directories) : std::nullopt;
}

bool Store::has(const ImageId& id) const {
    struct stat facts {};
    return (is_image_id(id) && ::lstat(image_path(id).c_str(), &facts) == 0 &&
            S_ISREG(facts.st_mode) && facts.st_uid == root_.owner()) ||
           find_again(id).has_value();
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
    TRY_ASSIGN(const auto images, root_.part(Part::images, O_RDONLY));
    TRY_ASSIGN(const auto text,
               read_plain(images.get(), id + ".json", max_json_bytes, root_.owner()));
    return provenance_from_json(text);
}

base::Result<std::vector<StoredImage>> Store::list() const {
    std::vector<StoredImage> images;
    const auto directories = view();
    if (!directories && directories.error().sys_errno == ENOENT) {
        return images; // a store that nobody has written to yet
    }
    if (!directories) {
        return base::Unexpected(directories.error());
    }
    TRY_ASSIGN(const auto names, base::list_directory(directories->images.get()));
    constexpr std::string_view ending = ".sif";
    for (const auto& entry : names) {
        if (entry.name.ends_with(ending)) {
            if (auto image = look(entry.name.substr(0, entry.name.size() - ending.size()),
                                  *directories)) {
                images.push_back(std::move(*image));
            }
        }
    }
    return images;
}

base::Result<void> Store::record_ref(const RefRecord& record) const {
    return in_store(write_ref(record), options_.path);
}

base::Result<void> Store::write_ref(const RefRecord& record) const {
    const auto key = image::sha256_hex(record.reference);
    TRY_ASSIGN(const auto refs, root_.part(Part::refs, O_RDONLY));
    TRY_ASSIGN(const auto tmp, root_.part(Part::tmp, O_RDONLY));
    TRY(step("ref-dir"));
    if (::mkdirat(refs.get(), key.c_str(), root_.dir_mode()) != 0 && errno != EEXIST) {
        return base::fail_errno(base::code_of_errno(errno, base::Code::store_unusable), errno,
                                "cannot record a reference");
    }
    TRY_ASSIGN(const auto dir, root_.inner(refs.get(), key, O_RDONLY));
    // The time comes first in the name and has a fixed width: the newest name decides. Files are
    // never rewritten, so a tag that moves back to an old digest gets a new record.
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    const auto name = fmt::format("{:012}{:09}-{}.json", now.tv_sec, now.tv_nsec, record.digest);
    TRY(step("ref-write"));
    TRY(write_new_file(dir.get(), name, to_json(record), root_.file_mode(),
                       {tmp.get(), unfinished_record(new_work_name())}));
    constexpr std::size_t kept = 16;
    TRY_ASSIGN(const auto listed, base::list_directory(dir.get()));
    std::vector<std::string> names;
    for (const auto& entry : listed) {
        if (is_ref_record(entry.name)) {
            names.push_back(entry.name);
        }
    }
    std::sort(names.begin(), names.end());
    for (std::size_t i = 0; i + kept < names.size(); ++i) {
        (void)remove_plain(dir.get(), names[i], root_.owner());
    }
    return {};
}

std::optional<RefRecord> Store::latest_ref(std::string_view reference,
                                           std::string_view platform) const {
    const auto key = image::sha256_hex(reference);
    const auto open_records = [&](int flags) -> base::Result<base::UniqueFd> {
        TRY_ASSIGN(const auto refs, root_.part(Part::refs, flags));
        return root_.inner(refs.get(), key, O_RDONLY);
    };
    auto dir = open_records(O_PATH);
    if (!dir) {
        dir = open_records(O_RDONLY); // asks the server
    }
    auto listed = dir ? base::list_directory(dir->get())
                      : base::Result<std::vector<base::DirectoryEntry>>();
    if (!dir || !listed) {
        return std::nullopt;
    }
    std::sort(listed->begin(), listed->end(),
              [](const auto& a, const auto& b) { return a.name > b.name; });
    for (const auto& entry : *listed) {
        const auto text = is_ref_record(entry.name)
                              ? read_plain(dir->get(), entry.name, max_json_bytes, root_.owner())
                              : base::fail(base::Code::io, "not a record");
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
