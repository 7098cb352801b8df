// SPDX-License-Identifier: Apache-2.0
#include "base/format.hpp"
#include "base/temp_dir.hpp"
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

base::Result<std::string> file_digest(const StoredImage& image) {
    TRY_ASSIGN(const auto file, base::open_file(image.path, O_RDONLY | O_NOFOLLOW));
    TRY_ASSIGN(const auto digest, image::sha256_of_file(file.get(), 0, image.size));
    return digest.text();
}

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
        const auto digest = file_digest(image);
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
    auto litter = [&](const std::string& path, std::string what) {
        const bool gone = repair && bool(base::remove_tree(path));
        problems.push_back({path, std::move(what), gone});
    };
    // A publisher links provenance moments before the image: young files are left alone.
    constexpr std::int64_t young_s = 3600;
    const auto server = repair ? server_now(directory("tmp")) : 0;
    const auto now = server != 0 ? server : ::time(nullptr);
    for (const auto& name :
         list_directory(directory("images")).value_or(std::vector<std::string>())) {
        if (name.starts_with(".nfs")) {
            continue; // removed, but a job on this host has it open: the NFS client sees to it
        }
        const auto path = directory("images") + "/" + name;
        struct stat st {};
        const bool old = ::lstat(path.c_str(), &st) == 0 && now - st.st_mtime > young_s;
        const bool image = name.ends_with(".sif") && is_image_id(name.substr(0, name.size() - 4));
        const bool json = name.ends_with(".json") && is_image_id(name.substr(0, name.size() - 5));
        if (!image && !json) {
            litter(path, "does not belong into a store");
        } else if (json && old && !find(name.substr(0, name.size() - 5))) {
            litter(path, "provenance without an image");
        }
    }
    for (const auto* part : {"grants", "pins"}) {
        for (const auto& name :
             list_directory(directory(part)).value_or(std::vector<std::string>())) {
            if (!find(name)) {
                litter(directory(part) + "/" + name, "belongs to no image");
            }
        }
    }
}

base::Result<std::vector<FsckProblem>> Store::fsck(bool repair, bool read_all_bytes) const {
    std::vector<FsckProblem> problems;
    check_images(repair, read_all_bytes, problems);
    check_orphans(repair, problems);
    if (repair) {
        TRY_ASSIGN(const auto swept, sweep());
        if (swept != 0) {
            problems.push_back({directory("tmp"),
                                fmt::format("{} unfinished works of dead processes", swept), true});
        }
    }
    return problems;
}

} // namespace slipway::store
