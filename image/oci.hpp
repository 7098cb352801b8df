// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "image/digest.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

/// OCI and Docker (schema 2) image documents: indexes, manifests, image configurations. Nothing
/// here touches the network or files. All parsers treat their input as hostile: at most
/// max_document bytes and 64 levels of nesting, never an exception; problems are
/// Code::source_protocol unless said otherwise. Source of the rules: OCI image-spec 1.1,
/// distribution-spec 1.1.
namespace slipway::image {

using base::Result;

inline constexpr std::size_t max_document = std::size_t{16} * 1024 * 1024;

/// What a media type means to us; several spellings share one kind.
enum class MediaKind {
    unknown,
    index,        ///< OCI index, Docker manifest list
    manifest,     ///< OCI manifest, Docker manifest schema 2
    schema1,      ///< Docker schema 1, signed or not; not supported
    image_config, ///< OCI and Docker image configuration
    layer_tar,    ///< uncompressed
    layer_gzip,
    layer_zstd,
    layer_other,    ///< says that it is a layer, with a suffix that we do not know: sniff it
    sif_config,     ///< ORAS: configuration of a SIF artifact
    sif_layer,      ///< ORAS: the SIF file, also in its historic misspelling
    squashfs_layer, ///< OCI-SIF
    empty,          ///< application/vnd.oci.empty.v1+json
};
MediaKind media_kind(std::string_view media_type) noexcept;
/// layer_tar, layer_gzip, layer_zstd or layer_other. The label is a hint: sniff before decoding.
bool is_tar_layer(MediaKind kind) noexcept;
/// Foreign and non-distributable layers: may lie at Descriptor::urls instead of the registry.
bool is_foreign_layer(std::string_view media_type) noexcept;

namespace media {
inline constexpr std::string_view oci_index = "application/vnd.oci.image.index.v1+json";
inline constexpr std::string_view oci_manifest = "application/vnd.oci.image.manifest.v1+json";
inline constexpr std::string_view oci_config = "application/vnd.oci.image.config.v1+json";
inline constexpr std::string_view oci_layer_tar = "application/vnd.oci.image.layer.v1.tar";
inline constexpr std::string_view oci_layer_gzip = "application/vnd.oci.image.layer.v1.tar+gzip";
inline constexpr std::string_view oci_layer_zstd = "application/vnd.oci.image.layer.v1.tar+zstd";
inline constexpr std::string_view oci_empty = "application/vnd.oci.empty.v1+json";
inline constexpr std::string_view docker_list =
    "application/vnd.docker.distribution.manifest.list.v2+json";
inline constexpr std::string_view docker_manifest =
    "application/vnd.docker.distribution.manifest.v2+json";
inline constexpr std::string_view docker_config = "application/vnd.docker.container.image.v1+json";
inline constexpr std::string_view docker_layer_gzip =
    "application/vnd.docker.image.rootfs.diff.tar.gzip";
inline constexpr std::string_view sif_config = "application/vnd.sylabs.sif.config.v1+json";
inline constexpr std::string_view sif_layer = "application/vnd.sylabs.sif.layer.v1.sif";
/// Value of the Accept header of a manifest request.
inline constexpr std::string_view accept_manifest =
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.docker.distribution.manifest.v2+json";
} // namespace media

/// os/architecture[/variant] in normalised form ("linux", "amd64", "", or "arm" with "v7").
struct Platform {
    std::string os;
    std::string architecture;
    std::string variant;
    std::string os_version;

    /// "linux/arm/v7".
    [[nodiscard]] std::string text() const;
    friend bool operator==(const Platform&, const Platform&) = default;
};

/// "linux/arm64", "linux/arm/v7", or an architecture alone ("arm64", "x86_64" mean linux/…). Only
/// linux can run here: other systems are Code::platform_mismatch, bad text Code::option_invalid.
Result<Platform> parse_platform(std::string_view text);
/// Aliases to GOARCH names, lower case, arm gets a variant, arm64 loses v8.
Platform normalise(Platform platform);
/// linux and the machine that this program runs on.
Platform host_platform();
/// For every field that `wanted` gives, `offered` has the same (both are normalised first).
bool platform_matches(const Platform& wanted, const Platform& offered);

struct Descriptor {
    std::string media_type;
    Digest digest;
    std::uint64_t size = 0; ///< bytes; at most 2^62
    std::string artifact_type;
    std::optional<Platform> platform; ///< as written, not normalised
    std::map<std::string, std::string> annotations;
    std::vector<std::string> urls;

    [[nodiscard]] MediaKind kind() const noexcept { return media_kind(media_type); }
    /// Annotation org.opencontainers.image.ref.name, "" when absent.
    [[nodiscard]] std::string ref_name() const;
};

struct Index {
    std::string media_type; ///< "" when the document does not say
    std::vector<Descriptor> manifests;
    std::map<std::string, std::string> annotations;
};

struct Manifest {
    std::string media_type; ///< "" when the document does not say
    std::string artifact_type;
    Descriptor config;
    std::vector<Descriptor> layers; ///< bottom first
    std::map<std::string, std::string> annotations;
};

using Document = std::variant<Index, Manifest>;

/// An index or a manifest. `content_type` is what the transport said ("" or generic when unknown);
/// it must not contradict the document. Code::media_type for schema 1, for a body that is both an
/// index and a manifest, and for anything that is neither.
Result<Document> parse_document(std::string_view body, std::string_view content_type = {});
Result<Index> parse_index(std::string_view body, std::string_view content_type = {});

/// The entry for that platform: an entry whose variant is exactly the wanted one wins over one that
/// merely does not contradict, arm falls back to older variants, earlier entries win. Entries
/// without a platform never match: callers ask their configurations (unlabelled_entries()). Code::
/// platform_mismatch lists what there is. The entry may itself be an index; callers limit the depth
/// (4).
Result<Descriptor> select_platform(const Index& index, const Platform& wanted);

/// The entries that say nothing about their platform, in order.
std::vector<Descriptor> unlabelled_entries(const Index& index);

/// Success for what may be an image that can be converted: only tar layers, and a configuration that
/// is labelled as one of an image or with a type that says nothing ("", application/octet-stream,
/// application/json, text/html …): then its content decides, see below. Code::media_type otherwise,
/// with a sentence that says what it is instead (SIF by ORAS, signature, …).
Result<void> require_image(const Manifest& manifest);

/// The image configuration blob.
struct ImageConfig {
    Platform platform;            ///< normalised; fields the blob lacks are ""
    std::string created;          ///< RFC 3339 as written, "" when absent
    std::vector<Digest> diff_ids; ///< of the uncompressed layers, bottom first
    std::size_t history_entries = 0;

    std::string user;
    std::vector<std::string> env; ///< "K=V" in order
    std::vector<std::string> entrypoint;
    std::vector<std::string> cmd;
    std::string working_dir;
    std::map<std::string, std::string> labels;
    std::vector<std::string> volumes;       ///< sorted
    std::vector<std::string> exposed_ports; ///< sorted
    std::string stop_signal;
    bool args_escaped = false;

    /// The `config` object alone: compact JSON in the field order of the specification, empty
    /// fields left out, "{}" when all are empty. This is the content of a SIF's oci-config.json.
    [[nodiscard]] std::string config_json() const;
    /// Seconds since 1970 of `created`, nothing when absent or unreadable.
    [[nodiscard]] std::optional<std::int64_t> created_seconds() const;
};
Result<ImageConfig> parse_image_config(std::string_view body);
/// The second half of require_image(): a configuration that no label calls one must name layers.
Result<void> require_image(const Manifest& manifest, const ImageConfig& config);

/// "2024-05-01T12:00:00.5Z" or with an offset to seconds since 1970, fractions cut off.
std::optional<std::int64_t> parse_rfc3339(std::string_view text);

/// The `oci-layout` file: only versions 1.0.x.
Result<void> check_layout_marker(std::string_view body);

/// One image of a `docker save` archive (manifest.json); the names are paths inside the archive
/// without a leading "./".
struct ArchiveImage {
    std::string config;
    std::vector<std::string> repo_tags;
    std::vector<std::string> layers; ///< bottom first
};
Result<std::vector<ArchiveImage>> parse_archive_manifest(std::string_view body);

} // namespace slipway::image
