// SPDX-License-Identifier: Apache-2.0
#include "launcher/devices/vendor_files.hpp"

#include "base/format.hpp"
#include "base/path.hpp"
#include "launcher/devices/elf.hpp"
#include "launcher/devices/ld_so_cache.hpp"

#include <algorithm>
#include <array>
#include <set>
#include <string_view>

namespace slipway::launcher::devices {
namespace {

constexpr std::array<std::string_view, 6> program_directories{
    "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"};

struct VendorFacts {
    std::string_view word; ///< the option, for messages
    std::span<const std::string_view> node_prefixes; ///< of names in /dev
    std::span<const std::string_view> node_directories; ///< names in /dev, whole
    std::span<const std::string_view> sockets; ///< of services, where clients look for them
    std::span<const std::string_view> variables; ///< that say which device is meant
    /// What programs open although the driver's package may not bring it: name, file.
    std::span<const std::pair<std::string_view, std::string_view>> links;
};

constexpr std::array<std::string_view, 1> nvidia_nodes{"nvidia"};
constexpr std::array<std::string_view, 2> nvidia_directories{"nvidia-caps",
                                                             "nvidia-caps-imex-channels"};
constexpr std::array<std::string_view, 2> nvidia_sockets{"/var/run/nvidia-persistenced/socket",
                                                         "/var/run/nvidia-fabricmanager/socket"};
constexpr std::array<std::string_view, 5> nvidia_variables{
    "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "CUDA_MPS_PIPE_DIRECTORY",
    "CUDA_MPS_LOG_DIRECTORY", "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE"};
constexpr std::array<std::pair<std::string_view, std::string_view>, 4> nvidia_links{{
    {"libcuda.so", "libcuda.so.1"},
    {"libnvidia-ml.so", "libnvidia-ml.so.1"},
    {"libnvidia-opticalflow.so", "libnvidia-opticalflow.so.1"},
    {"libGLX_indirect.so.0", "libGLX_nvidia.so.0"},
}};
constexpr VendorFacts nvidia{"nv",           nvidia_nodes,     nvidia_directories,
                             nvidia_sockets, nvidia_variables, nvidia_links};

constexpr std::array<std::string_view, 1> amd_nodes{"kfd"};
constexpr std::array<std::string_view, 1> amd_directories{"dri"};
constexpr std::array<std::string_view, 3> amd_variables{"ROCR_VISIBLE_DEVICES",
                                                        "HIP_VISIBLE_DEVICES",
                                                        "GPU_DEVICE_ORDINAL"};
constexpr VendorFacts amd{"rocm", amd_nodes, amd_directories, {}, amd_variables, {}};

/// Where libraries are without any cache's word.
std::vector<std::string> default_directories() {
    std::vector<std::string> list;
    for (const std::string_view parent : {"/usr/lib64", "/lib64"}) {
        list.emplace_back(parent);
    }
    for (const std::string_view parent : {"/usr/lib", "/lib"}) {
        list.push_back(base::join_path(parent, own_machine.triplet));
        list.emplace_back(parent);
    }
    return list;
}

class Collection {
  public:
    Collection(const VendorRequest& request, Host& host, const Image& image)
        : request_(request), facts_(request.vendor == Vendor::nvidia ? nvidia : amd), host_(host),
          image_(image) {}

    ContainerEdits make();

  private:
    void add_libraries();
    void add_library(std::string_view name, const std::string& path);
    void add_links();
    void add_programs();
    void add_files();
    void add_sockets();
    void add_nodes();
    void keep_variables();
    void add_as_it_is(const std::string& path, bool readonly);
    [[nodiscard]] bool is_listed(std::string_view name, bool only_if_image_lacks) const;
    [[nodiscard]] bool has_driver() const;
    [[nodiscard]] bool image_has(std::string_view name);
    [[nodiscard]] bool is_own(int handle);
    [[nodiscard]] std::string_view variable(std::string_view name) const;

    const VendorRequest& request_;
    const VendorFacts& facts_;
    Host& host_;
    const Image& image_;
    ContainerEdits out_;
    std::set<std::string, std::less<>> placed_; ///< names in library_directory
    std::set<std::string, std::less<>> image_cached_;
    bool image_cache_read_ = false;
    bool found_driver_ = false;
};

bool Collection::is_own(int handle) {
    const auto start = host_.start_of(handle, elf_start_bytes);
    return start && is_own_elf(*start);
}

std::string_view Collection::variable(std::string_view name) const {
    for (const std::string_view item : request_.environment) {
        if (item.size() > name.size() && item.starts_with(name) && item[name.size()] == '=') {
            return item.substr(name.size() + 1);
        }
    }
    return {};
}

/// By its cache, or in the directories that its loader searches anyway.
bool Collection::image_has(std::string_view name) {
    if (!image_cache_read_) {
        image_cache_read_ = true;
        const auto bytes = image_.read(loader_cache, max_loader_cache).value_or("");
        const auto cached = parse_loader_cache(bytes);
        for (const auto& library : cached ? *cached : std::vector<CachedLibrary>()) {
            if (library.flags == own_machine.cache_flags) {
                image_cached_.emplace(library.name);
            }
        }
    }
    const auto directories = default_directories();
    return image_cached_.contains(name) ||
           std::any_of(directories.begin(), directories.end(), [&](const std::string& directory) {
               return image_.has(base::join_path(directory, name));
           });
}

bool Collection::is_listed(std::string_view name, bool only_if_image_lacks) const {
    const auto& list = request_.list.libraries;
    return std::any_of(list.begin(), list.end(), [&](const LibraryList::Library& library) {
        return library.only_if_image_lacks == only_if_image_lacks &&
               name.starts_with(library.prefix);
    });
}

/// The first file under a name that is for this machine. A file that is something else leaves the
/// name to the next one.
void Collection::add_library(std::string_view name, const std::string& path) {
    const bool drivers_own = is_listed(name, false);
    if (placed_.contains(name) || (!drivers_own && (!is_listed(name, true) || image_has(name)))) {
        return;
    }
    const auto source = host_.open(path);
    if (source && source->kind == SourceKind::file && is_own(source->handle)) {
        placed_.emplace(name);
        found_driver_ = found_driver_ || drivers_own;
        out_.mounts.push_back(
            {path, base::join_path(library_directory, name), source->handle, true});
    }
}

void Collection::add_libraries() {
    const auto bytes = host_.read(loader_cache, max_loader_cache).value_or("");
    if (const auto cached = parse_loader_cache(bytes)) {
        for (const auto& library : *cached) {
            if (library.flags == own_machine.cache_flags) {
                add_library(library.name, std::string(library.path));
            }
        }
        return;
    }
    for (const auto& directory : default_directories()) {
        for (const auto& name : host_.names(directory)) {
            add_library(name, base::join_path(directory, name));
        }
    }
}

void Collection::add_links() {
    for (const auto& [name, file] : facts_.links) {
        if (placed_.contains(file) && !placed_.contains(name)) {
            out_.symlinks.push_back(
                {base::join_path(library_directory, name), std::string(file)});
        }
    }
    if (!placed_.empty()) {
        out_.library_directories.emplace_back(library_directory);
    }
}

void Collection::add_programs() {
    for (const auto& name : request_.list.programs) {
        for (const auto directory : program_directories) {
            const auto path = base::join_path(directory, name);
            const auto source = host_.open(path);
            if (source && source->kind == SourceKind::file && is_own(source->handle)) {
                out_.mounts.push_back(
                    {path, base::join_path("/usr/bin", name), source->handle, true});
                found_driver_ = true;
                break;
            }
        }
    }
}

void Collection::add_as_it_is(const std::string& path, bool readonly) {
    const auto source = host_.open(path);
    if (source && source->kind != SourceKind::device) {
        out_.mounts.push_back({path, path, source->handle, readonly});
    }
}

void Collection::add_files() {
    const auto before = out_.mounts.size();
    for (const auto& path : request_.list.files) {
        add_as_it_is(path, true);
    }
    found_driver_ = found_driver_ || out_.mounts.size() != before;
}

/// Clients connect to them, and MPS writes into its directory, which the caller may have named: one
/// in which no service listens is some other directory.
void Collection::add_sockets() {
    for (const auto path : facts_.sockets) {
        add_as_it_is(std::string(path), false);
    }
    if (request_.vendor == Vendor::nvidia) {
        const auto given = variable("CUDA_MPS_PIPE_DIRECTORY");
        const auto path = given.empty() ? std::string("/tmp/nvidia-mps") : base::clean_path(given);
        const auto names = path.starts_with('/') ? host_.names(path) : std::vector<std::string>();
        if (std::find(names.begin(), names.end(), "control") != names.end()) {
            add_as_it_is(path, false);
        }
    }
}

void Collection::add_nodes() {
    if (!request_.own_dev) {
        return;
    }
    for (const auto& name : host_.names("/dev")) {
        const auto& prefixes = facts_.node_prefixes;
        const auto& directories = facts_.node_directories;
        const bool directory =
            std::find(directories.begin(), directories.end(), name) != directories.end();
        const bool node = std::any_of(prefixes.begin(), prefixes.end(), [&](auto prefix) {
            return std::string_view(name).starts_with(prefix);
        });
        if (!directory && !node) {
            continue;
        }
        const auto path = base::join_path("/dev", name);
        const auto source = host_.open(path);
        if (source &&
            source->kind == (directory ? SourceKind::directory : SourceKind::device)) {
            out_.nodes.push_back({path, path, source->handle, false});
        }
    }
}

void Collection::keep_variables() {
    for (const auto name : facts_.variables) {
        if (const auto value = variable(name); !value.empty()) {
            out_.environment.emplace_back(name, value);
        }
    }
}

/// Every desktop has what is listed for images that lack it: where the list has more than that, it is
/// no sign of a driver.
bool Collection::has_driver() const {
    const auto& list = request_.list.libraries;
    const bool only_such = std::all_of(list.begin(), list.end(), [](const auto& library) {
        return library.only_if_image_lacks;
    });
    return found_driver_ || (only_such && !placed_.empty());
}

ContainerEdits Collection::make() {
    out_.warnings = request_.list.warnings;
    add_libraries();
    add_links();
    add_programs();
    add_files();
    if (!has_driver()) {
        out_.mounts.clear();
        out_.symlinks.clear();
        out_.library_directories.clear();
        out_.warnings.push_back(
            fmt::format("Could not find any {} files on this host!", facts_.word));
    }
    add_sockets();
    add_nodes();
    keep_variables();
    return std::move(out_);
}

} // namespace

ContainerEdits vendor_edits(const VendorRequest& request, Host& host, const Image& image) {
    return Collection(request, host, image).make();
}

} // namespace slipway::launcher::devices
