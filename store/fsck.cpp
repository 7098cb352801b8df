// SPDX-License-Identifier: Apache-2.0
#include "base/format.hpp"
#include "base/path.hpp"
#include "base/text.hpp"
#include "image/digest.hpp"
#include "store/files.hpp"
#include "store/store.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

#include <cerrno>
#include <ctime>

namespace slipway::store {
namespace {

struct Fault {
    std::string what;     ///< empty when the image is what its provenance says
    bool certain = false; ///< false: it could not be read just now, which condemns nobody
};

/// The provenance, looked for again while a network file system's caches catch up.
base::Result<Provenance> patient_provenance(const Store& store, const ImageId& id) {
    constexpr std::uint64_t pause_ms = 100;
    for (std::uint64_t waited = 0;; waited += pause_ms) {
        auto provenance = store.provenance(id);
        if (provenance || provenance.error().sys_errno != ENOENT ||
            waited >= store.options().appear_ms) {
            return provenance;
        }
        base::ask_server_about(store.directory("images"));
        ::poll(nullptr, 0, static_cast<int>(pause_ms));
    }
}

base::Result<std::string> file_digest(const Store& store, const StoredImage& image) {
    TRY_ASSIGN(const auto open, store.open_image(image.id));
    TRY_ASSIGN(const auto digest, image::sha256_of_file(open.fd.get(), 0, image.size));
    return digest.text();
}

Fault image_fault(const Store& store, const StoredImage& image, bool read_all_bytes) {
    const auto provenance = patient_provenance(store, image.id);
    if (!provenance) {
        const auto& error = provenance.error();
        return {"its provenance cannot be read: " + error.message,
                error.code == base::Code::store_corrupt || error.sys_errno == ENOENT};
    }
    if (provenance->id != image.id) {
        return {"its provenance belongs to another image", true};
    }
    if (provenance->output_size != image.size) {
        return {fmt::format("it has {} bytes, its provenance says {}", image.size,
                            provenance->output_size),
                true};
    }
    if (read_all_bytes) {
        const auto digest = file_digest(store, image);
        if (!digest) {
            return {digest.error().message, false};
        }
        if (*digest != provenance->output_digest) {
            return {"its content has digest " + *digest + ", its provenance says " +
                        provenance->output_digest,
                    true};
        }
    }
    return {};
}

} // namespace

void Store::check_images(bool repair, bool read_all_bytes,
                         std::vector<FsckProblem>& problems) const {
    const auto images = list();
    if (!images) {
        problems.push_back({directory("images"), images.error().message, false});
        return;
    }
    for (const auto& image : *images) {
        auto fault = image_fault(*this, image, read_all_bytes);
        if (!fault.what.empty()) {
            const bool gone = repair && fault.certain && bool(drop(image.id));
            problems.push_back({image.path, std::move(fault.what), gone});
        }
    }
}

void Store::check_orphans(bool repair, std::vector<FsckProblem>& problems) const {
    // A publisher links provenance moments before the image: young files are left alone.
    constexpr std::int64_t young_s = 3600;
    const auto tmp = root_.part(Part::tmp, O_RDONLY);
    const auto server = repair && tmp ? server_now(tmp->get()) : 0;
    const auto now = server != 0 ? server : ::time(nullptr);
    for (const auto part : {Part::images, Part::pins}) {
        const auto dir = root_.part(part, O_RDONLY);
        const auto listed = dir ? entries(dir->get()) : base::Result<std::vector<Entry>>();
        if (!dir || !listed) {
            continue; // check_images() has said it
        }
        for (const auto& entry : *listed) {
            const auto path = directory(name_of(part)) + "/" + entry.name;
            const auto id = entry.name.substr(0, entry.name.find('.'));
            if (!is_written(part, entry, root_.owner())) {
                continue; // foreign() names it
            }
            if (part == Part::pins && !find(id)) {
                problems.push_back({path, "belongs to no image",
                                    repair && remove_plain(dir->get(), id, root_.owner())});
            } else if (entry.name.ends_with(".json") && now - entry.facts.st_mtime > young_s &&
                       !find(id)) {
                problems.push_back({path, "provenance without an image",
                                    repair && bool(drop_provenance(id, dir->get()))});
            }
        }
    }
}

void Store::check_grants(bool repair, std::vector<FsckProblem>& problems) const {
    const auto grants = root_.part(Part::grants, O_RDONLY);
    const auto listed = grants ? entries(grants->get()) : base::Result<std::vector<Entry>>();
    if (!grants || !listed) {
        return;
    }
    for (const auto& entry : *listed) {
        if (is_image_id(entry.name) && root_.inner(grants->get(), entry.name, O_PATH) &&
            !find(entry.name)) {
            problems.push_back({directory("grants") + "/" + entry.name, "belongs to no image",
                                repair && drop_grants(entry.name)});
        }
    }
}

void Store::check_refs(bool repair, std::vector<FsckProblem>& problems) const {
    constexpr std::int64_t young_s = 3600;
    const auto refs = root_.part(Part::refs, O_RDONLY);
    const auto listed = refs ? entries(refs->get()) : base::Result<std::vector<Entry>>();
    if (!refs || !listed) {
        return;
    }
    for (const auto& entry : *listed) {
        const auto dir = root_.inner(refs->get(), entry.name, O_RDONLY);
        const auto inside = dir ? entries(dir->get()) : base::Result<std::vector<Entry>>();
        if (!dir || !inside || !is_image_id(entry.name)) {
            continue; // foreign() names it
        }
        for (const auto& record : *inside) {
            if (S_ISREG(record.facts.st_mode) && record.facts.st_uid == root_.owner() &&
                is_unfinished_ref(record.name) &&
                ::time(nullptr) - record.facts.st_mtime > young_s) {
                problems.push_back(
                    {fmt::format("{}/{}/{}", directory("refs"), entry.name, record.name),
                     "was never finished",
                     repair && remove_plain(dir->get(), record.name, root_.owner())});
            }
        }
    }
}

base::Result<std::vector<FsckProblem>> Store::fsck(bool repair, bool read_all_bytes) const {
    std::vector<FsckProblem> problems;
    const bool may_remove = repair && !root_.marked_now();
    // Grants without images are counted one by one below, so they are looked at first.
    check_grants(may_remove, problems);
    // Sweeping puts back provenance that a killed process had moved aside.
    const auto swept = may_remove ? sweep() : base::Result<std::size_t>(0);
    TRY(swept);
    check_images(may_remove, read_all_bytes, problems);
    check_orphans(may_remove, problems);
    check_refs(may_remove, problems);
    if (repair && !may_remove && !problems.empty()) {
        problems.push_back({options_.path,
                            "was made before stores had a mark and has got one now: nothing was "
                            "removed; look at the list and run it again",
                            false});
    }
    TRY_ASSIGN(const auto others, foreign());
    for (const auto& each : others) {
        problems.push_back({each.path, left_alone(each), false, true});
    }
    if (*swept != 0) {
        problems.push_back({directory("tmp"),
                            fmt::format("{} leftovers of processes that are gone", *swept), true});
    }
    return problems;
}

} // namespace slipway::store
