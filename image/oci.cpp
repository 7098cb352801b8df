// SPDX-License-Identifier: Apache-2.0
#include "image/oci.hpp"

#include "base/format.hpp"
#include "base/json.hpp"
#include "base/text.hpp"
#include "base/words.hpp"
#include "image/transports.hpp"

#include <algorithm>

namespace slipway::image {

namespace json = base::json;
namespace {

using base::Code;
using base::fail;
using base::in_quotes;

constexpr std::uint64_t max_blob_size = std::uint64_t{1} << 62U;
constexpr std::size_t max_descriptors = 10000;

struct MediaRow {
    std::string_view text;
    MediaKind kind;
};
constexpr MediaRow media_table[] = {
    {media::oci_index, MediaKind::index},
    {media::docker_list, MediaKind::index},
    {media::oci_manifest, MediaKind::manifest},
    {media::docker_manifest, MediaKind::manifest},
    {"application/vnd.docker.distribution.manifest.v1+json", MediaKind::schema1},
    {"application/vnd.docker.distribution.manifest.v1+prettyjws", MediaKind::schema1},
    {media::oci_config, MediaKind::image_config},
    {media::docker_config, MediaKind::image_config},
    {media::oci_empty, MediaKind::empty},
    {media::sif_config, MediaKind::sif_config},
    {media::sif_layer, MediaKind::sif_layer},
    {"appliciation/vnd.sylabs.sif.layer.tar", MediaKind::sif_layer},
    {"application/vnd.sylabs.image.layer.v1.squashfs", MediaKind::squashfs_layer},
};

/// Labels that say nothing. Old registries and clients put them on image configurations, proxies on
/// everything; what such a document is, only its content says.
constexpr std::string_view generic_types[] = {
    "", "application/octet-stream", "binary/octet-stream", "application/json", "text/html",
    "text/plain",
};

constexpr std::string_view layer_prefixes[] = {
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
};

/// "Application/Foo; charset=utf-8" to "application/foo".
std::string plain_type(std::string_view content_type) {
    return base::to_lower(base::trim(content_type.substr(0, content_type.find(';'))));
}

bool is_generic(std::string_view media_type) {
    const auto plain = plain_type(media_type);
    return std::find(std::begin(generic_types), std::end(generic_types), plain) !=
           std::end(generic_types);
}

base::Unexpected artifact(std::string_view type) {
    return fail(
        Code::media_type,
        type.empty() ? std::string("this is an artifact, not a container image")
                     : fmt::format("this is an artifact of type {}, not a container image",
                                   in_quotes(type)),
        "signatures, attestations, charts and models cannot be run; name the image itself");
}

Result<Descriptor> read_descriptor(const json::Value& value, const std::string& what) {
    if (!value.is_object()) {
        return fail(Code::source_protocol, what + " is not an object");
    }
    json::Reader reader(value);
    Descriptor out;
    out.media_type = reader.text("mediaType");
    const auto digest = reader.text("digest");
    const auto size = reader.number("size");
    out.artifact_type = reader.text("artifactType");
    out.annotations = reader.text_map("annotations");
    out.urls = reader.texts("urls");
    if (const auto* platform = reader.object("platform")) {
        json::Reader inner(*platform);
        out.platform = Platform{.os = inner.text("os"),
                                .architecture = inner.text("architecture"),
                                .variant = inner.text("variant"),
                                .os_version = inner.text("os.version")};
        if (!inner.ok()) {
            return fail(
                Code::source_protocol,
                fmt::format("{}: platform field {} has the wrong type", what, inner.wrong()));
        }
    }
    if (!reader.ok()) {
        return fail(Code::source_protocol,
                    fmt::format("{}: field {} has the wrong type", what, reader.wrong()));
    }
    if (!size || *size > max_blob_size) {
        return fail(Code::source_protocol, what + " has no usable size");
    }
    out.size = *size;
    auto parsed = Digest::parse(digest);
    if (!parsed) {
        auto error = std::move(parsed).error();
        error.code = Code::source_protocol;
        return base::Unexpected(std::move(error).context(what));
    }
    out.digest = std::move(*parsed);
    return out;
}

Result<std::vector<Descriptor>> read_descriptors(json::Reader& reader, const char* key,
                                                 std::string_view what) {
    std::vector<Descriptor> list;
    const auto* values = reader.array(key);
    if (values == nullptr) {
        return list;
    }
    if (values->size() > max_descriptors) {
        return fail(Code::limit_exceeded, fmt::format("{} lists {} {}, more than {}", what,
                                                      values->size(), key, max_descriptors));
    }
    list.reserve(values->size());
    for (std::size_t i = 0; i < values->size(); ++i) {
        TRY_ASSIGN(auto one, read_descriptor((*values)[i], fmt::format("{}[{}]", key, i)));
        list.push_back(std::move(one));
    }
    return list;
}

Result<Index> read_index(const json::Value& value) {
    json::Reader reader(value);
    Index out;
    out.media_type = reader.text("mediaType");
    TRY_ASSIGN(out.manifests, read_descriptors(reader, "manifests", "the image index"));
    out.annotations = reader.text_map("annotations");
    if (!reader.ok()) {
        return fail(Code::source_protocol,
                    fmt::format("the image index's field {} has the wrong type", reader.wrong()));
    }
    return out;
}

Result<Manifest> read_manifest(const json::Value& value) {
    json::Reader reader(value);
    Manifest out;
    out.media_type = reader.text("mediaType");
    out.artifact_type = reader.text("artifactType");
    const auto* config = reader.object("config");
    if (config == nullptr) {
        return fail(Code::media_type, "the image manifest names no configuration");
    }
    TRY_ASSIGN(out.config, read_descriptor(*config, "config"));
    TRY_ASSIGN(out.layers, read_descriptors(reader, "layers", "the image manifest"));
    out.annotations = reader.text_map("annotations");
    if (!reader.ok()) {
        return fail(
            Code::source_protocol,
            fmt::format("the image manifest's field {} has the wrong type", reader.wrong()));
    }
    return out;
}

base::Unexpected schema1_error() {
    return fail(
        Code::media_type, "the image is stored in Docker's old schema 1 format",
        "push it again with a current tool (docker, podman, skopeo); schema 1 is not supported");
}

/// index, manifest, or schema1/unknown when nothing or nonsense is said.
MediaKind document_kind(std::string_view type) noexcept {
    const auto kind = media_kind(type);
    return kind == MediaKind::index || kind == MediaKind::manifest || kind == MediaKind::schema1
               ? kind
               : MediaKind::unknown;
}

/// What the document is, from its shape; contradictions with what the labels say are errors.
Result<MediaKind> decide_kind(const json::Value& value, std::string_view content_type) {
    json::Reader reader(value);
    const auto own = reader.text("mediaType");
    const bool has_manifests = value.contains("manifests");
    const bool has_layers = value.contains("layers") || value.contains("config");
    if (const auto version = reader.number("schemaVersion"); version && *version == 1) {
        return schema1_error();
    }
    if (value.contains("fsLayers") || document_kind(own) == MediaKind::schema1) {
        return schema1_error();
    }
    if (has_manifests && has_layers) {
        return fail(Code::media_type,
                    "the document is an image index and an image manifest at once",
                    "this is how two programs are made to see two different images; it is refused");
    }
    if (!has_manifests && !has_layers) {
        return fail(Code::media_type,
                    own.empty()
                        ? std::string("the document is neither an image index nor a manifest")
                        : fmt::format("the document is a {}, neither an image index nor a "
                                      "manifest",
                                      in_quotes(own)));
    }
    const auto shape = has_manifests ? MediaKind::index : MediaKind::manifest;
    for (const std::string& label : {own, plain_type(content_type)}) {
        const auto said = document_kind(label);
        if (said == MediaKind::schema1) {
            return schema1_error();
        }
        if (said != MediaKind::unknown && said != shape) {
            return fail(Code::media_type,
                        fmt::format("the document is labelled {} but is an image {}",
                                    in_quotes(label), has_manifests ? "index" : "manifest"));
        }
    }
    // A mediaType of the document's own that we do not know is some other kind of document.
    if (document_kind(own) == MediaKind::unknown && !is_generic(own)) {
        return fail(Code::media_type,
                    fmt::format("documents of type {} are not supported", in_quotes(own)));
    }
    return shape;
}

} // namespace

MediaKind media_kind(std::string_view media_type) noexcept {
    for (const auto& row : media_table) {
        if (row.text == media_type) {
            return row.kind;
        }
    }
    for (const auto prefix : layer_prefixes) {
        if (media_type.starts_with(prefix)) {
            const auto suffix = media_type.substr(prefix.size());
            return suffix.empty()                                   ? MediaKind::layer_tar
                   : suffix == "+gzip" || suffix == ".gzip"         ? MediaKind::layer_gzip
                   : suffix == "+zstd" || suffix == ".zstd"         ? MediaKind::layer_zstd
                   : suffix.front() == '+' || suffix.front() == '.' ? MediaKind::layer_other
                                                                    : MediaKind::unknown;
        }
    }
    return MediaKind::unknown;
}

bool is_tar_layer(MediaKind kind) noexcept {
    return kind == MediaKind::layer_tar || kind == MediaKind::layer_gzip ||
           kind == MediaKind::layer_zstd || kind == MediaKind::layer_other;
}

bool is_foreign_layer(std::string_view media_type) noexcept {
    return media_type.find(".foreign.") != std::string_view::npos ||
           media_type.find(".nondistributable.") != std::string_view::npos;
}

std::string Descriptor::ref_name() const {
    const auto found = annotations.find("org.opencontainers.image.ref.name");
    return found == annotations.end() ? std::string() : found->second;
}

Result<Document> parse_document(std::string_view body, std::string_view content_type) {
    if (document_kind(plain_type(content_type)) == MediaKind::schema1) {
        return schema1_error();
    }
    TRY_ASSIGN(const auto value,
               json::parse_object(body, max_document, Code::source_protocol, "the image manifest"));
    TRY_ASSIGN(const auto kind, decide_kind(value, content_type));
    if (kind == MediaKind::index) {
        TRY_ASSIGN(auto index, read_index(value));
        return Document(std::move(index));
    }
    TRY_ASSIGN(auto manifest, read_manifest(value));
    return Document(std::move(manifest));
}

Result<Index> parse_index(std::string_view body, std::string_view content_type) {
    TRY_ASSIGN(auto document, parse_document(body, content_type));
    if (auto* index = std::get_if<Index>(&document)) {
        return std::move(*index);
    }
    return fail(Code::media_type, "expected an image index, found an image manifest");
}

Result<void> require_image(const Manifest& manifest) {
    const auto config = manifest.config.kind();
    if (config == MediaKind::sif_config ||
        (manifest.layers.size() == 1 && manifest.layers[0].kind() == MediaKind::sif_layer)) {
        return fail(Code::media_type,
                    "this is a SIF file stored as an artifact, not a Docker or OCI image",
                    transport_row(Transport::oras).can(Use::fetch)
                        ? "use oras:// instead of docker://"
                        : "this version does not fetch SIF files from registries: download it by "
                          "other means and name the file");
    }
    if (config != MediaKind::image_config && !is_generic(manifest.config.media_type)) {
        return artifact(manifest.artifact_type.empty() ? manifest.config.media_type
                                                       : manifest.artifact_type);
    }
    for (std::size_t i = 0; i < manifest.layers.size(); ++i) {
        const auto kind = manifest.layers[i].kind();
        if (kind == MediaKind::squashfs_layer) {
            return fail(Code::media_type, "this is an OCI-SIF image (its layers are SquashFS)",
                        "OCI-SIF is not supported yet; use the image that it was made from");
        }
        if (!is_tar_layer(kind)) {
            return fail(Code::media_type, fmt::format("layer {} has the unknown type {}", i + 1,
                                                      in_quotes(manifest.layers[i].media_type)));
        }
    }
    return {};
}

Result<void> require_image(const Manifest& manifest, const ImageConfig& config) {
    if (manifest.config.kind() != MediaKind::image_config && config.diff_ids.empty()) {
        return artifact(manifest.artifact_type.empty() ? manifest.config.media_type
                                                       : manifest.artifact_type);
    }
    return {};
}

Result<void> check_layout_marker(std::string_view body) {
    TRY_ASSIGN(const auto value, json::parse_object(body, 65536, Code::image_format, "oci-layout"));
    json::Reader reader(value);
    const auto version = reader.text("imageLayoutVersion");
    if (version.starts_with("1.0.")) {
        return {};
    }
    return fail(
        Code::image_unsupported,
        fmt::format("the OCI layout has version {}, only 1.0.x is known", in_quotes(version)));
}

Result<std::vector<ArchiveImage>> parse_archive_manifest(std::string_view body) {
    TRY_ASSIGN(const auto value, json::parse_any(body, max_document, Code::image_format,
                                                 "manifest.json of the archive"));
    const auto bad = [](std::string_view why) {
        return fail(
            Code::image_format, fmt::format("manifest.json of the archive: {}", why),
            "the file must be made by `docker save` (or podman, skopeo) of Docker 1.10 or newer");
    };
    if (!value.is_array() || value.size() > max_descriptors) {
        return bad("it is not a list of images");
    }
    const auto plain = [](std::string name) {
        while (name.starts_with("./")) {
            name.erase(0, 2);
        }
        return name;
    };
    std::vector<ArchiveImage> images;
    for (const auto& entry : value) {
        if (!entry.is_object()) {
            return bad("an entry is not an object");
        }
        json::Reader reader(entry);
        ArchiveImage image;
        image.config = plain(reader.text("Config"));
        image.repo_tags = reader.texts("RepoTags");
        for (auto& layer : reader.texts("Layers")) {
            image.layers.push_back(plain(std::move(layer)));
        }
        if (!reader.ok()) {
            return bad(fmt::format("field {} has the wrong type", reader.wrong()));
        }
        if (image.config.empty()) {
            return bad("an entry names no configuration");
        }
        images.push_back(std::move(image));
    }
    return images;
}

} // namespace slipway::image
