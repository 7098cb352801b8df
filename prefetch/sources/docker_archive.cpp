// SPDX-License-Identifier: Apache-2.0
#include "base/format.hpp"
#include "base/json.hpp"
#include "base/text.hpp"
#include "prefetch/sources/file_tree.hpp"
#include "prefetch/sources/layered_image.hpp"
#include "prefetch/sources/local_source.hpp"

#include <algorithm>
#include <array>

namespace slipway::prefetch::sources {
namespace {

using base::Code;
using base::fail;

constexpr std::string_view content_addressed = "blobs/sha256/";

bool begins_compressed(const std::array<std::uint8_t, 4>& magic, std::size_t have) {
    const bool gzip = have >= 2 && magic[0] == 0x1f && magic[1] == 0x8b;
    const bool zstd = have >= 4 && magic[0] == 0x28 && magic[1] == 0xb5 && magic[2] == 0x2f &&
                      magic[3] == 0xfd;
    return gzip || zstd;
}

/// Digest of the bytes of a layer. An uncompressed layer is what its diff_id says, and a name below
/// blobs/sha256 is the digest (the converter checks both); only other compressed layers are read.
base::Result<image::Digest> layer_digest(const FileTree& tree, const std::string& name,
                                         const image::Digest& diff_id, bool& compressed) {
    TRY_ASSIGN(auto source, tree.open(name));
    std::array<std::uint8_t, 4> magic{};
    std::size_t have = 0;
    while (have < magic.size()) {
        TRY_ASSIGN(const auto got, source->read(std::span(magic).subspan(have)));
        if (got == 0) {
            break;
        }
        have += got;
    }
    compressed = begins_compressed(magic, have);
    if (!compressed) {
        return diff_id;
    }
    if (name.rfind(content_addressed, 0) == 0) {
        return image::Digest::parse("sha256:" + name.substr(content_addressed.size()));
    }
    image::Sha256 hasher;
    hasher.update(std::span<const std::uint8_t>(magic.data(), have));
    std::vector<std::uint8_t> buffer(256 * 1024);
    for (;;) {
        TRY_ASSIGN(const auto got, source->read(buffer));
        if (got == 0) {
            return hasher.finish();
        }
        hasher.update(std::span<const std::uint8_t>(buffer.data(), got));
    }
}

/// Whether what the user wrote behind the path means this tag: the same text, or the same reference
/// once defaults are filled in ("alpine" and "docker.io/library/alpine:latest").
bool same_tag(const std::string& selector, const std::string& tag) {
    if (selector == tag) {
        return true;
    }
    const auto a = image::parse_reference(selector);
    const auto b = image::parse_reference(tag);
    return a && b && a->text() == b->text();
}

std::string choices(const std::vector<image::ArchiveImage>& images) {
    return choices_text(images, [](const image::ArchiveImage& image) {
        return image.repo_tags.empty() ? std::string() : image.repo_tags.front();
    });
}

base::Result<image::ArchiveImage> select_image(const std::vector<image::ArchiveImage>& images,
                                               const std::string& selector) {
    if (selector.empty()) {
        if (images.size() == 1) {
            return images[0];
        }
        return fail(Code::source_not_found,
                    fmt::format("the archive holds {} images and none was chosen", images.size()),
                    "choose one behind the path, as in docker-archive:PATH:NAME; it has: " +
                        choices(images));
    }
    if (selector.front() == '@') {
        const auto position = base::parse_u64(std::string_view(selector).substr(1));
        if (position && *position < images.size()) {
            return images[*position];
        }
    } else {
        for (const auto& image : images) {
            const auto& tags = image.repo_tags;
            if (std::any_of(tags.begin(), tags.end(),
                            [&](const auto& tag) { return same_tag(selector, tag); })) {
                return image;
            }
        }
    }
    return fail(Code::source_not_found,
                fmt::format("the archive has no image {}", base::in_quotes(selector)),
                "it has: " + choices(images));
}

/// The documents of an archive are all made here, so there is nothing more to give.
class ArchiveDocuments : public DocumentSource {
  public:
    explicit ArchiveDocuments(std::string config) : config_(std::move(config)) {}
    base::Result<RawDocument> document(const image::Descriptor&) override {
        return fail(Code::internal, "a manifest made from an archive names no other");
    }
    base::Result<std::string> small_blob(const image::Descriptor&) override { return config_; }

  private:
    std::string config_;
};

class DockerArchiveSource : public Source {
  public:
    DockerArchiveSource(image::ImageUri uri, std::shared_ptr<const FileTree> tree,
                        std::uint64_t max_layers)
        : uri_(std::move(uri)), tree_(std::move(tree)), max_layers_(max_layers) {}

    base::Result<RemoteHead> head(const image::Platform& wanted, std::stop_token stop) override {
        TRY_ASSIGN(const auto image, resolve(wanted, std::move(stop)));
        return RemoteHead{image.manifest_digest, false};
    }

    base::Result<ResolvedImage> resolve(const image::Platform& wanted, std::stop_token stop) override {
        TRY_ASSIGN(const auto selected, select());
        TRY_ASSIGN(auto config_json, read_small(*tree_, selected.config, image::max_document));
        TRY_ASSIGN(const auto config, image::parse_image_config(config_json));
        if (config.diff_ids.size() != selected.layers.size()) {
            return fail(Code::source_protocol,
                        fmt::format("{}: the image has {} layers but its configuration names {}",
                                    base::in_quotes(uri_.path), selected.layers.size(),
                                    config.diff_ids.size()),
                        "write the archive again");
        }
        RawDocument root;
        TRY_ASSIGN(root.body, make_manifest(selected, config, config_json, stop));
        root.content_type = std::string(image::media::oci_manifest);
        root.digest = image::sha256(root.body);
        const auto digest = root.digest;
        ArchiveDocuments documents(std::move(config_json));
        TRY_ASSIGN(auto chosen, choose_image(std::move(root), wanted, documents, max_layers_));
        const auto opener = [tree = tree_, names = selected.layers](std::size_t i) {
            return [tree, name = names[i]] { return tree->open(name); };
        };
        return layered_image(uri_, std::move(chosen), digest, wanted, opener, {});
    }

  private:
    base::Result<image::ArchiveImage> select() const {
        if (!tree_->exists("manifest.json")) {
            if (tree_->exists("index.json")) {
                return fail(Code::source_protocol,
                            base::in_quotes(uri_.path) + " is an OCI archive, not a Docker archive",
                            "name it as oci-archive:" + base::printable(uri_.path));
            }
            const bool old = tree_->exists("repositories");
            return fail(old ? Code::unsupported : Code::source_protocol,
                        base::in_quotes(uri_.path) + (old ? " was written by a docker older than 1.10"
                                                          : " has no manifest.json"),
                        old ? "load it into a newer docker and save it again"
                            : "docker-archive: reads what `docker save` writes; an OCI layout in a "
                              "tar file is oci-archive:");
        }
        TRY_ASSIGN(const auto body, read_small(*tree_, "manifest.json", image::max_document));
        TRY_ASSIGN(const auto images, image::parse_archive_manifest(body));
        auto selected = select_image(images, uri_.selector);
        if (!selected) {
            return base::Unexpected(std::move(selected).error().context(base::in_quotes(uri_.path)));
        }
        return selected;
    }

    /// A fixed order of members: the same archive gives the same digest for ever.
    base::Result<std::string> make_manifest(const image::ArchiveImage& selected,
                                            const image::ImageConfig& config,
                                            const std::string& config_json,
                                            const std::stop_token& stop) const {
        base::json::OrderedValue manifest;
        manifest["schemaVersion"] = 2;
        manifest["mediaType"] = image::media::oci_manifest;
        manifest["config"] = {{"mediaType", image::media::oci_config},
                              {"digest", image::sha256(config_json).text()},
                              {"size", config_json.size()}};
        manifest["layers"] = base::json::OrderedValue::array();
        for (std::size_t i = 0; i < selected.layers.size(); ++i) {
            if (stop.stop_requested()) {
                return fail(Code::interrupted, "cancelled");
            }
            const auto& name = selected.layers[i];
            bool compressed = false;
            TRY_ASSIGN(const auto digest,
                       layer_digest(*tree_, name, config.diff_ids[i], compressed));
            TRY_ASSIGN(const auto size, tree_->size(name));
            manifest["layers"].push_back(
                {{"mediaType", compressed ? image::media::oci_layer_gzip : image::media::oci_layer_tar},
                 {"digest", digest.text()},
                 {"size", size}});
        }
        return base::json::compact(manifest);
    }

    image::ImageUri uri_;
    std::shared_ptr<const FileTree> tree_;
    std::uint64_t max_layers_;
};

} // namespace

base::Result<std::unique_ptr<Source>> make_docker_archive_source(const image::ImageUri& uri,
                                                                 const SourceContext& context) {
    TRY_ASSIGN(auto tree, open_tar_tree(uri.path, context.spool, context.config->limits.image_size));
    return std::make_unique<DockerArchiveSource>(uri, std::move(tree),
                                                 context.config->limits.layers);
}

} // namespace slipway::prefetch::sources
