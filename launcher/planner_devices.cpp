// SPDX-License-Identifier: Apache-2.0
// GPUs: what launcher/devices/ says that a container should get becomes part of its plan.
#include "base/format.hpp"
#include "base/path.hpp"
#include "base/text.hpp"
#include "launcher/devices/vendor_files.hpp"
#include "launcher/planner_impl.hpp"

namespace slipway::launcher {
namespace {

using base::Result;

constexpr std::size_t max_library_list = 1U << 20U;

/// Keeps what was opened: handles of devices::Source are places in the list.
class Host final : public devices::Host {
  public:
    explicit Host(HostView& host) noexcept : host_(host) {}

    std::optional<devices::Source> open(const std::string& path) override {
        const auto entry = host_.open(path);
        if (!entry || !entry->readable) {
            return std::nullopt;
        }
        devices::Source source;
        source.handle = static_cast<int>(opened.size());
        source.kind = entry->kind == EntryKind::directory ? devices::SourceKind::directory
                      : entry->device                     ? devices::SourceKind::device
                                                          : devices::SourceKind::file;
        opened.push_back(*entry);
        return source;
    }
    std::optional<std::string> start_of(int handle, std::size_t max) override {
        return host_.start_of(opened.at(static_cast<std::size_t>(handle)).handle, max);
    }
    std::optional<std::string> read(const std::string& path, std::size_t max) override {
        return host_.read(path, max);
    }
    std::vector<std::string> names(const std::string& directory) override {
        return host_.names(directory);
    }

    std::vector<HostEntry> opened;

  private:
    HostView& host_;
};

class Image final : public devices::Image {
  public:
    explicit Image(const ImageView& image) noexcept : image_(image) {}
    bool has(const std::string& path) const override {
        return image_.kind(path) != EntryKind::missing;
    }
    std::optional<std::string> read(const std::string& path, std::size_t max) const override {
        return image_.read(path, max);
    }

  private:
    const ImageView& image_;
};

} // namespace

/// The site's, or the one that is built in when that file cannot be had: a container without a GPU
/// is worse.
devices::LibraryList Planner::library_list(devices::Vendor vendor) {
    const auto& path = vendor == devices::Vendor::nvidia ? in_.site.nv_library_list
                                                         : in_.site.rocm_library_list;
    if (path.empty()) {
        return devices::parse_library_list(devices::default_library_list(vendor));
    }
    const auto text = in_.host.read(path, max_library_list);
    if (!text) {
        plan_.warnings.push_back(
            fmt::format("cannot read the site's list of GPU files {}; the list that is built in is "
                        "used instead",
                        base::in_quotes(path)));
        return devices::parse_library_list(devices::default_library_list(vendor));
    }
    return devices::parse_library_list(*text);
}

/// A link of the image's may make the place a directory of the host's, in which nothing is made and
/// nothing covered for a driver's sake.
bool Planner::leads_to_host(const std::string& target) {
    const auto place = targets_.canonical(target);
    const auto* cover = place ? targets_.covering(*place) : nullptr;
    if (cover == nullptr || cover->kind != Operation::Kind::bind || cover->own) {
        return false;
    }
    plan_.warnings.push_back(
        fmt::format("{} is left out: in this container that is a place in {} of the node",
                    base::in_quotes(target), base::in_quotes(cover->source)));
    return true;
}

/// A directory of the container's own in memory, so that an image without it needs no mount point
/// for every library.
Result<void> Planner::add_library_directories() {
    std::vector<std::string> made;
    for (const auto& directory : edits_.library_directories) {
        if (leads_to_host(directory)) {
            continue;
        }
        const auto before = plan_.operations.size();
        TRY(add_tmpfs(directory, 0755, Origin::site, directory));
        if (plan_.operations.size() != before) {
            made.push_back(directory);
        }
    }
    edits_.library_directories = std::move(made);
    return {};
}

Result<void> Planner::add_device_mounts(const std::vector<devices::Mount>& mounts,
                                        const std::vector<HostEntry>& opened) {
    for (const auto& mount : mounts) {
        if (mount.source == mount.target && host_path_visible(mount.target)) {
            continue;
        }
        const bool library = base::is_beneath(mount.target, devices::library_directory);
        if (library ? edits_.library_directories.empty() : leads_to_host(mount.target)) {
            continue; // and that has been said
        }
        TRY(add_bind({.source = mount.source,
                      .target = mount.target,
                      .origin = Origin::site,
                      .written = mount.source,
                      .readonly = mount.readonly,
                      .opened = &opened.at(static_cast<std::size_t>(mount.handle))}));
    }
    return {};
}

Result<void> Planner::add_device_links() {
    if (edits_.library_directories.empty()) {
        return {};
    }
    for (const auto& link : edits_.symlinks) {
        TRY_ASSIGN(auto place, targets_.place(link.target, EntryKind::file));
        Operation operation;
        operation.kind = Operation::Kind::symlink;
        operation.origin = Origin::site;
        operation.target = std::move(place.path);
        operation.source = link.to;
        operation.shape = EntryKind::file;
        push(std::move(operation));
    }
    return {};
}

Result<void> Planner::add_gpu() {
    if (!request_.nv && !request_.rocm) {
        return {};
    }
    if (request_.nv && request_.rocm) {
        plan_.warnings.emplace_back("--nv and --rocm do not go together: only --nv is used");
    }
    const auto vendor = request_.nv ? devices::Vendor::nvidia : devices::Vendor::amd;
    Host host(in_.host);
    const auto list = library_list(vendor);
    edits_ = devices::vendor_edits({vendor, list, request_.environment, has_own_dev()}, host,
                                   Image(in_.image));
    plan_.warnings.insert(plan_.warnings.end(), edits_.warnings.begin(), edits_.warnings.end());
    TRY(add_library_directories());
    TRY(add_device_mounts(edits_.nodes, host.opened));
    TRY(add_device_mounts(edits_.mounts, host.opened));
    return add_device_links();
}

} // namespace slipway::launcher
