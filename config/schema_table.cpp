// SPDX-License-Identifier: Apache-2.0
// The keys of the site file.
#include "base/format.hpp"
#include "config/fields.hpp"
#include "config/values.hpp"

#include <array>

namespace slipway::config {
namespace {

constexpr std::uint64_t max_threads = 1024;

constexpr std::array store_fields{
    value<AbsolutePath, &StoreConfig::path>(
        "path",
        "Directory of the store that all users share, on storage that every node sees. Without it "
        "every user has only a store of their own.",
        "/shared/slipway"),
    value<PathPattern, &StoreConfig::user_path>(
        "user_path",
        "Directory of a user's own store, for images that only this user may read. "
        "SLIPWAY_CACHEDIR "
        "in the user's environment wins. Without both it is slipway in $XDG_CACHE_HOME or in "
        "~/.cache.",
        "\"/scratch/${USER}/slipway\""),
    value<SizeOrNone<mib>, &StoreConfig::quota>(
        "quota",
        "How much the shared store may hold. When it is full the images that nobody has used for "
        "the longest time are removed.",
        "20TiB"),
    value<Duration, &StoreConfig::max_job_time>(
        "max_job_time",
        "An image is not removed for this long after it was last asked for. Set it to the longest "
        "time that a job may wait and run."),
    value<Percent, &StoreConfig::user_share>(
        "user_share",
        "How much of the shared store the images of one user can hold on to for max_job_time, and "
        "how much of what others no longer use a new image of theirs may replace. What a user has "
        "beyond it is removed when others need the room, the oldest first. Make it larger than the "
        "largest image."),
};
constexpr std::array store_refusals{
    Refusal{"keep_blobs", "this version keeps no downloaded layers"},
};
constexpr Record store_record{
    .fields = store_fields, .refusals = store_refusals, .defaults = default_struct<StoreConfig>};

constexpr std::array service_fields{
    value<Listeners, &ServiceConfig::listen>("listen",
                                             "The Unix socket that the service listens on."),
    value<NumberOrAuto<max_threads>, &ServiceConfig::workers>(
        "workers",
        "Images that are staged at the same time. auto: one per core. Half as many more are staged "
        "for users of whom nothing is being staged, so that slow images keep nobody waiting."),
    value<Number<unsigned, 1, 10000>, &ServiceConfig::max_concurrent_per_user>(
        "max_concurrent_per_user",
        "Images that are staged at the same time for one user; more wait their turn."),
};
constexpr Record service_record{.fields = service_fields,
                                .defaults = default_struct<ServiceConfig>};

constexpr std::array registry_fields{
    value<Hosts, &RegistryConfig::mirrors>(
        "mirrors", "Registries that are tried first, in this order, for the same images.",
        "[mirror.example.org:5000]"),
    value<Boolean, &RegistryConfig::insecure>(
        "insecure", "Talk plain HTTP to this registry. Nothing else permits plain HTTP.", "false"),
    value<AbsolutePath, &RegistryConfig::ca_file>(
        "ca_file", "PEM file with the certificate authorities that this registry is checked with.",
        "/etc/slipway/registry-ca.pem"),
    value<AccountName, &RegistryConfig::username>(
        "username", "User name of the site's account. Needs password_file.", "site-account"),
    value<AbsolutePath, &RegistryConfig::password_file>(
        "password_file",
        "File whose first line is the password or token of the site's account. Only the service "
        "reads it; keep it readable for the service's user alone.",
        "/etc/slipway/docker.io.password"),
    value<SizeOrNone<1024>, &RegistryConfig::rate_limit>(
        "rate_limit", "Downloads from this registry use at most so many bytes per second.",
        "100MiB"),
};

std::vector<Conflict> registry_conflicts(const void* record) {
    const auto& registry = *static_cast<const RegistryConfig*>(record);
    std::vector<Conflict> found;
    if (registry.username.empty() != registry.password_file.empty()) {
        found.push_back({"", "username and password_file belong together", "give both or none"});
    }
    if (registry.insecure && !registry.ca_file.empty()) {
        found.push_back(
            {"", "ca_file has no meaning with insecure: true", "remove insecure to use HTTPS"});
    }
    return found;
}

constexpr Record registry_record{.fields = registry_fields,
                                 .conflicts = registry_conflicts,
                                 .defaults = default_struct<RegistryConfig>};

constexpr std::array convert_fields{
    value<CompressorName, &ConvertConfig::compression>(
        "compression",
        "Compression of new images. zstd is faster to make and to read; gzip is what SingularityCE "
        "can read."),
    value<CompressionLevel, &ConvertConfig::level>(
        "level", "Compression level. Higher ones make smaller images and take longer."),
    value<BlockSize, &ConvertConfig::block_size>("block_size", "Unit of compression in an image."),
    value<NumberOrAuto<max_threads>, &ConvertConfig::threads>(
        "threads", "Threads that compress one image. auto: one per core."),
    value<Size<64 * mib>, &ConvertConfig::memory>(
        "memory", "Memory for one conversion: its buffers and what the names, attributes and "
                  "numbers of files "
                  "need. An image with millions of files needs more."),
};

std::vector<Conflict> convert_conflicts(const void* record) {
    const auto& convert = *static_cast<const ConvertConfig*>(record);
    std::vector<Conflict> found;
    const auto& compressor = squashfs::facts_of(convert.compression);
    const auto level = static_cast<int>(convert.level);
    if (level != 0 && !compressor.has_level(level)) {
        found.push_back({"level", squashfs::levels_text(compressor),
                         fmt::format("write a level from {} to {}, or auto",
                                     compressor.lowest_level, compressor.highest_level)});
    }
    // Every thread has a block at hand, and half of the memory is for blocks.
    const auto blocks = 2 * (convert.threads + 3) * convert.block_size;
    if (convert.threads != 0 && convert.memory < blocks) {
        found.push_back(
            {"threads",
             fmt::format("{} threads with blocks of {} need more memory than {}", convert.threads,
                         write_size(convert.block_size), write_size(convert.memory)),
             fmt::format("write memory: {}MiB, or fewer threads", (blocks + mib - 1) / mib)});
    }
    return found;
}

constexpr Record convert_record{.fields = convert_fields,
                                .conflicts = convert_conflicts,
                                .defaults = default_struct<ConvertConfig>};

constexpr std::array launcher_fields{
    value<NumberOrAuto<64>, &LauncherConfig::squashfs_threads>(
        "squashfs_threads",
        "Most threads that read an image on a node. auto: one for each core that the job has."),
    value<Boolean, &LauncherConfig::mount_home>("mount_home",
                                                "Give containers the user's home directory."),
    value<Boolean, &LauncherConfig::mount_tmp>("mount_tmp",
                                               "Give containers the node's /tmp and /var/tmp."),
    value<Boolean, &LauncherConfig::mount_cwd>("mount_cwd",
                                               "Give containers the current directory."),
    value<DeviceModeName, &LauncherConfig::mount_dev>(
        "mount_dev",
        "full: the node's /dev, which InfiniBand and GPUs need. minimal: only null, zero, random, "
        "terminals and shared memory."),
    value<Binds, &LauncherConfig::bind>(
        "bind",
        "Directories and files of the node that every container gets. The user's own binds come "
        "after them.",
        "[\"/scratch\", \"/apps:/apps:ro\"]"),
    value<Environment, &LauncherConfig::env>(
        "env",
        "Variables for every container. An image's and a user's own value of the same variable "
        "wins.",
        "{SITE: example}"),
    value<Boolean, &LauncherConfig::passwd>("passwd",
                                            "Add the user to the container's /etc/passwd."),
    value<Boolean, &LauncherConfig::group>("group",
                                           "Add the user's groups to the container's /etc/group."),
    value<Boolean, &LauncherConfig::resolv_conf>("resolv_conf",
                                                 "Give containers the node's /etc/resolv.conf."),
    value<AbsolutePath, &LauncherConfig::nv_library_list>(
        "nv_library_list",
        "File on the node with what --nv gives containers, in place of the list that is built in: "
        "an entry in each line, as in nvliblist.conf. libNAME.so: libraries whose name begins so; "
        "?libNAME.so: the same, if the image has none of that name; /PATH: a file, at the same "
        "place; NAME: a program, in /usr/bin.",
        "/etc/slipway/nvliblist.conf"),
    value<AbsolutePath, &LauncherConfig::rocm_library_list>(
        "rocm_library_list", "The same for --rocm.", "/etc/slipway/rocmliblist.conf"),
    value<SizeOrAuto<mib>, &LauncherConfig::tmpfs_size>(
        "tmpfs_size",
        "Size of each file system in memory: a contained /tmp and home, a scratch directory, the "
        "changes to a writable container. auto: half of the node's memory; the job's own limit "
        "counts as well."),
};
constexpr std::array launcher_refusals{
    Refusal{"gpu", "which files --nv and --rocm give containers is set by nv_library_list and rocm_library_list"},
};
constexpr Record launcher_record{.fields = launcher_fields,
                                 .refusals = launcher_refusals,
                                 .defaults = default_struct<LauncherConfig>};

constexpr std::array limits_fields{
    value<Size<mib>, &LimitsConfig::image_size>("image_size",
                                                "Sum of the sizes of all files of all layers."),
    value<Number<std::uint64_t, 1, 10000>, &LimitsConfig::layers>("layers", "Number of layers."),
    value<Number<std::uint64_t, 1, 1'000'000'000>, &LimitsConfig::entries>(
        "entries", "Number of files, directories and links in all layers together, and of "
                   "directories that only "
                   "the path of another entry names."),
};
constexpr Record limits_record{.fields = limits_fields, .defaults = default_struct<LimitsConfig>};

constexpr std::array site_fields{
    records<&Config::store>("store", store_record, "Where finished images are kept."),
    records<&Config::service>("service", service_record, "The prefetch service slipwayd."),
    records<&Config::registries>(
        "registries", registry_record,
        "Settings for single registries, by host or host:port as in references. "
        "Docker Hub is docker.io.",
        registry_host, "docker.io"),
    records<&Config::convert>("convert", convert_record, "How layers become an image file."),
    records<&Config::launcher>("launcher", launcher_record, "What a container gets from the node."),
    records<&Config::limits>(
        "limits", limits_record,
        "What an image may be at most. They protect the store and the nodes from "
        "broken and hostile images."),
};
constexpr std::array site_refusals{
    Refusal{"policy",
            "this version does not enforce policy, and rules that nobody enforces would be a false "
            "comfort"},
    Refusal{"slurm", "the plugin takes its settings from its line in plugstack.conf, for example "
                     "batch=container"},
};
constexpr Record site{
    .fields = site_fields, .refusals = site_refusals, .defaults = default_struct<Config>};

} // namespace

const Record& site_record() {
    return site;
}

} // namespace slipway::config
