// SPDX-License-Identifier: Apache-2.0
#include "config/schema.hpp"
#include "config/values.hpp"

#include <array>

namespace slipway::config {
namespace {

/// A key of a section: Kind says how the value is written, the member pointers where it is kept.
template <typename Kind, auto section_member, auto member>
constexpr Key key(std::string_view section, std::string_view name, std::string_view doc,
                  std::string_view example = {}) {
    return {section,
            name,
            doc,
            example,
            [] { return Kind::type(); },
            [](void* target, const Node& node) -> base::Result<void> {
                TRY_ASSIGN((static_cast<Config*>(target)->*section_member).*member,
                           Kind::read(node));
                return {};
            },
            [](const void* target) {
                return Kind::write((static_cast<const Config*>(target)->*section_member).*member);
            }};
}

/// A key of one registry.
template <typename Kind, auto member>
constexpr Key registry_key(std::string_view name, std::string_view doc, std::string_view example) {
    return {"registries",
            name,
            doc,
            example,
            [] { return Kind::type(); },
            [](void* target, const Node& node) -> base::Result<void> {
                TRY_ASSIGN(static_cast<RegistryConfig*>(target)->*member, Kind::read(node));
                return {};
            },
            [](const void* target) {
                return Kind::write(static_cast<const RegistryConfig*>(target)->*member);
            }};
}

constexpr std::array section_table{
    Section{"store", "Where finished images are kept."},
    Section{"service", "The prefetch service slipwayd."},
    Section{"registries", "Settings for single registries, by host or host:port as in references. "
                          "Docker Hub is docker.io."},
    Section{"convert", "How layers become an image file."},
    Section{"launcher", "What a container gets from the node."},
    Section{"limits", "What an image may be at most. They protect the store and the nodes from "
                      "broken and hostile images."},
};

constexpr std::uint64_t max_threads = 1024;

constexpr std::array key_table{
    key<AbsolutePath, &Config::store, &StoreConfig::path>(
        "store", "path",
        "Directory of the store that all users share, on storage that every node sees. Without it "
        "every user has only a store of their own.",
        "/shared/slipway"),
    key<PathPattern, &Config::store, &StoreConfig::user_path>(
        "store", "user_path",
        "Directory of a user's own store, for images that only this user may read. "
        "SLIPWAY_CACHEDIR "
        "in the user's environment wins. Without both it is slipway in $XDG_CACHE_HOME or in "
        "~/.cache.",
        "\"/scratch/${USER}/slipway\""),
    key<SizeOrNone<1>, &Config::store, &StoreConfig::quota>(
        "store", "quota",
        "How much the shared store may hold. When it is full the images that nobody has used for "
        "the longest time are removed.",
        "20TiB"),
    key<Duration, &Config::store, &StoreConfig::max_job_time>(
        "store", "max_job_time",
        "An image is not removed for this long after it was last asked for. Set it to the longest "
        "time that a job may wait and run."),
    key<Percent, &Config::store, &StoreConfig::user_share>(
        "store", "user_share",
        "How much of the shared store the images of one user can hold on to for max_job_time, and "
        "how much of what others no longer use a new image of theirs may replace. What a user has "
        "beyond it is removed when others need the room, the oldest first. Make it larger than the "
        "largest image."),

    key<Listeners, &Config::service, &ServiceConfig::listen>(
        "service", "listen", "The Unix socket that the service listens on."),
    key<NumberOrAuto<max_threads>, &Config::service, &ServiceConfig::workers>(
        "service", "workers",
        "Images that are staged at the same time. auto: one per core. Half as many more are staged "
        "for users of whom nothing is being staged, so that slow images keep nobody waiting."),
    key<Number<unsigned, 1, 10000>, &Config::service, &ServiceConfig::max_concurrent_per_user>(
        "service", "max_concurrent_per_user",
        "Images that are staged at the same time for one user; more wait their turn."),

    registry_key<Hosts, &RegistryConfig::mirrors>(
        "mirrors", "Registries that are tried first, in this order, for the same images.",
        "[mirror.example.org:5000]"),
    registry_key<Boolean, &RegistryConfig::insecure>(
        "insecure", "Talk plain HTTP to this registry. Nothing else permits plain HTTP.", "false"),
    registry_key<AbsolutePath, &RegistryConfig::ca_file>(
        "ca_file", "PEM file with the certificate authorities that this registry is checked with.",
        "/etc/slipway/registry-ca.pem"),
    registry_key<Text, &RegistryConfig::username>(
        "username", "User name of the site's account. Needs password_file.", "site-account"),
    registry_key<AbsolutePath, &RegistryConfig::password_file>(
        "password_file",
        "File whose first line is the password or token of the site's account. Only the service "
        "reads it; keep it readable for the service's user alone.",
        "/etc/slipway/docker.io.password"),
    registry_key<SizeOrNone<1024>, &RegistryConfig::rate_limit>(
        "rate_limit", "Downloads from this registry use at most so many bytes per second.",
        "100MiB"),

    key<CompressorName, &Config::convert, &ConvertConfig::compression>(
        "convert", "compression",
        "Compression of new images. zstd is faster to make and to read; gzip is what SingularityCE "
        "can read."),
    key<CompressionLevel, &Config::convert, &ConvertConfig::level>(
        "convert", "level", "Compression level. Higher ones make smaller images and take longer."),
    key<BlockSize, &Config::convert, &ConvertConfig::block_size>(
        "convert", "block_size", "Unit of compression in an image."),
    key<NumberOrAuto<max_threads>, &Config::convert, &ConvertConfig::threads>(
        "convert", "threads", "Threads that compress one image. auto: one per core."),
    key<Size<64 * mib>, &Config::convert, &ConvertConfig::memory>(
        "convert", "memory",
        "Memory for one conversion: its buffers and what the names, attributes and numbers of files "
        "need. An image with millions of files needs more."),

    key<NumberOrAuto<64>, &Config::launcher, &LauncherConfig::squashfs_threads>(
        "launcher", "squashfs_threads",
        "Most threads that read an image on a node. auto: one for each core that the job has."),
    key<Boolean, &Config::launcher, &LauncherConfig::mount_home>(
        "launcher", "mount_home", "Give containers the user's home directory."),
    key<Boolean, &Config::launcher, &LauncherConfig::mount_tmp>(
        "launcher", "mount_tmp", "Give containers the node's /tmp and /var/tmp."),
    key<Boolean, &Config::launcher, &LauncherConfig::mount_cwd>(
        "launcher", "mount_cwd", "Give containers the current directory."),
    key<DeviceModeName, &Config::launcher, &LauncherConfig::mount_dev>(
        "launcher", "mount_dev",
        "full: the node's /dev, which InfiniBand and GPUs need. minimal: only null, zero, random, "
        "terminals and shared memory."),
    key<Binds, &Config::launcher, &LauncherConfig::bind>(
        "launcher", "bind",
        "Directories and files of the node that every container gets. The user's own binds come "
        "after them.",
        "[\"/scratch\", \"/apps:/apps:ro\"]"),
    key<Environment, &Config::launcher, &LauncherConfig::env>(
        "launcher", "env",
        "Variables for every container. An image's and a user's own value of the same variable "
        "wins.",
        "{SITE: example}"),
    key<Boolean, &Config::launcher, &LauncherConfig::passwd>(
        "launcher", "passwd", "Add the user to the container's /etc/passwd."),
    key<Boolean, &Config::launcher, &LauncherConfig::group>(
        "launcher", "group", "Add the user's groups to the container's /etc/group."),
    key<Boolean, &Config::launcher, &LauncherConfig::resolv_conf>(
        "launcher", "resolv_conf", "Give containers the node's /etc/resolv.conf."),
    key<SizeOrAuto<mib>, &Config::launcher, &LauncherConfig::tmpfs_size>(
        "launcher", "tmpfs_size",
        "Size of each file system in memory: a contained /tmp and home, a scratch directory, the "
        "changes to a writable container. auto: half of the node's memory; the job's own limit "
        "counts as well."),

    key<Size<mib>, &Config::limits, &LimitsConfig::image_size>(
        "limits", "image_size", "Sum of the sizes of all files of all layers."),
    key<Number<std::uint64_t, 1, 10000>, &Config::limits, &LimitsConfig::layers>(
        "limits", "layers", "Number of layers."),
    key<Number<std::uint64_t, 1, 1'000'000'000>, &Config::limits, &LimitsConfig::entries>(
        "limits", "entries",
        "Number of files, directories and links in all layers together, and of directories that only "
        "the path of another entry names."),
};

constexpr std::array refusal_table{
    Refusal{"", "policy",
            "this version does not enforce policy, and rules that nobody enforces would be a false "
            "comfort"},
    Refusal{"", "slurm",
            "the plugin takes its settings from its line in plugstack.conf, for example "
            "batch=container"},
    Refusal{"store", "keep_blobs", "this version keeps no downloaded layers"},
    Refusal{"launcher", "gpu", "this version does not read GPU settings"},
};

} // namespace

std::span<const Section> sections() {
    return section_table;
}

std::span<const Key> keys() {
    return key_table;
}

std::span<const Refusal> refusals() {
    return refusal_table;
}

std::string default_text(const Key& key) {
    static const Config config;
    static const RegistryConfig one_registry;
    return key.get(key.section == "registries" ? static_cast<const void*>(&one_registry)
                                               : static_cast<const void*>(&config));
}

} // namespace slipway::config
