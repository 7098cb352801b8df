// SPDX-License-Identifier: Apache-2.0
#include "base/format.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "prefetch/sources/file_tree.hpp"
#include "prefetch/sources/layered_image.hpp"
#include "prefetch/sources/local_source.hpp"

#include <algorithm>

namespace slipway::prefetch::sources {
namespace {

using base::Code;
using base::fail;
using Entries = std::vector<image::Descriptor>;

constexpr std::size_t max_marker = 4096;

std::string blob_name(const image::Digest& digest) {
    return fmt::format("blobs/{}/{}", digest.algorithm(), digest.hex());
}

base::Result<RawDocument> read_document(const FileTree& tree, const image::Descriptor& wanted) {
    RawDocument document;
    TRY_ASSIGN(document.body, read_small(tree, blob_name(wanted.digest), image::max_document));
    TRY(verify(document.body, wanted, tree.describe(blob_name(wanted.digest))));
    document.digest = wanted.digest;
    document.content_type = wanted.media_type;
    return document;
}

class LayoutDocuments : public DocumentSource {
  public:
    explicit LayoutDocuments(const FileTree& tree) : tree_(tree) {}
    base::Result<RawDocument> document(const image::Descriptor& wanted) override {
        return read_document(tree_, wanted);
    }
    base::Result<std::string> small_blob(const image::Descriptor& wanted) override {
        return read_small(tree_, blob_name(wanted.digest), image::max_document);
    }

  private:
    const FileTree& tree_;
};

std::string choices(const Entries& entries) {
    return choices_text(entries, [](const auto& entry) { return entry.ref_name(); });
}

base::Result<Entries> matching(const Entries& all, const std::string& selector) {
    if (selector.empty()) {
        return all;
    }
    if (selector.front() == '@' && selector.find(':') == std::string::npos) {
        const auto position = base::parse_u64(std::string_view(selector).substr(1));
        if (!position || *position >= all.size()) {
            return fail(Code::source_not_found,
                        fmt::format("the layout has {} images, none at {}", all.size(),
                                    base::in_quotes(selector)),
                        "positions count from @0");
        }
        return Entries{all[*position]};
    }
    Entries found;
    if (selector.front() == '@') {
        TRY_ASSIGN(const auto digest, image::Digest::parse(std::string_view(selector).substr(1)));
        std::copy_if(all.begin(), all.end(), std::back_inserter(found),
                     [&](const auto& entry) { return entry.digest == digest; });
    } else {
        std::copy_if(all.begin(), all.end(), std::back_inserter(found),
                     [&](const auto& entry) { return entry.ref_name() == selector; });
    }
    if (found.empty()) {
        return fail(Code::source_not_found,
                    fmt::format("the layout has no image {}", base::in_quotes(selector)),
                    "it has: " + choices(all));
    }
    return found;
}

base::Result<image::Descriptor> select_entry(const Entries& all, const std::string& selector,
                                             const image::Platform& wanted) {
    TRY_ASSIGN(auto found, matching(all, selector));
    if (found.empty()) {
        return fail(Code::source_not_found, "the layout holds no image");
    }
    const auto same = [&](const image::Descriptor& entry) { return entry.digest == found[0].digest; };
    if (std::all_of(found.begin(), found.end(), same)) {
        return found[0]; // one image, possibly under several names
    }
    const bool all_say = std::all_of(found.begin(), found.end(),
                                     [](const auto& entry) { return entry.platform.has_value(); });
    const auto fits = [&](const image::Descriptor& entry) {
        return image::platform_matches(wanted, *entry.platform);
    };
    if (all_say && std::count_if(found.begin(), found.end(), fits) == 1) {
        return *std::find_if(found.begin(), found.end(), fits);
    }
    return fail(Code::source_not_found,
                fmt::format("the layout holds {} images and none was chosen", found.size()),
                "choose one behind the path, as in oci:PATH:NAME; it has: " + choices(found));
}

class OciSource : public Source {
  public:
    OciSource(image::ImageUri uri, std::shared_ptr<const FileTree> tree, std::uint64_t max_layers)
        : uri_(std::move(uri)), tree_(std::move(tree)), max_layers_(max_layers) {}

    base::Result<RemoteHead> head(const image::Platform& wanted, std::stop_token) override {
        TRY_ASSIGN(const auto entry, root(wanted));
        TRY_ASSIGN(const auto document, read_document(*tree_, entry));
        TRY_ASSIGN(const auto parsed,
                   image::parse_document(document.body, document.content_type));
        return RemoteHead{entry.digest, std::holds_alternative<image::Index>(parsed)};
    }

    base::Result<ResolvedImage> resolve(const image::Platform& wanted, std::stop_token) override {
        TRY_ASSIGN(const auto entry, root(wanted));
        TRY_ASSIGN(auto document, read_document(*tree_, entry));
        LayoutDocuments documents(*tree_);
        TRY_ASSIGN(auto chosen, choose_image(std::move(document), wanted, documents, max_layers_));
        const auto opener = [tree = tree_, layers = chosen.manifest.layers](std::size_t i) {
            return [tree, name = blob_name(layers[i].digest)] { return tree->open(name); };
        };
        return layered_image(uri_, std::move(chosen), entry.digest, wanted, opener, {});
    }

  private:
    /// Says what the archive or directory is instead, where that is known.
    [[nodiscard]] base::Unexpected no_index() const {
        const auto name = base::in_quotes(uri_.path);
        const bool archive = uri_.transport == image::Transport::oci_archive;
        if (tree_->exists("manifest.json") && archive) {
            return fail(Code::source_protocol, name + " is a Docker archive, not an OCI archive",
                        "name it as docker-archive:" + base::printable(uri_.path));
        }
        if (tree_->exists("manifest.json")) {
            return fail(Code::source_protocol,
                        name + " is what `docker save` or skopeo's dir: wrote, not an OCI layout",
                        "write the image again as an OCI layout or as a Docker archive");
        }
        return fail(Code::source_protocol, name + " is no OCI layout: it has no index.json",
                    archive ? "an OCI archive is a layout in a tar file; what `docker save` writes is "
                              "docker-archive:"
                            : "name the directory that holds index.json; a tar file is oci-archive:");
    }

    base::Result<image::Descriptor> root(const image::Platform& wanted) const {
        if (!tree_->exists("index.json")) {
            return no_index();
        }
        if (tree_->exists("oci-layout")) {
            TRY_ASSIGN(const auto marker, read_small(*tree_, "oci-layout", max_marker));
            TRY(image::check_layout_marker(marker));
        } else {
            base::log(base::LogLevel::warning,
                      tree_->describe("oci-layout") + " is missing; read as an OCI layout anyway");
        }
        TRY_ASSIGN(const auto body, read_small(*tree_, "index.json", image::max_document));
        TRY_ASSIGN(const auto index, image::parse_index(body));
        auto entry = select_entry(index.manifests, uri_.selector, wanted);
        if (!entry) {
            return base::Unexpected(std::move(entry).error().context(base::in_quotes(uri_.path)));
        }
        return entry;
    }

    image::ImageUri uri_;
    std::shared_ptr<const FileTree> tree_;
    std::uint64_t max_layers_;
};

} // namespace

base::Result<std::unique_ptr<Source>> make_oci_source(const image::ImageUri& uri,
                                                      const SourceContext& context) {
    std::shared_ptr<const FileTree> tree;
    if (uri.transport == image::Transport::oci_archive) {
        TRY_ASSIGN(tree, open_tar_tree(uri.path, context.spool,
                                       context.config->limits.image_size));
    } else {
        TRY_ASSIGN(tree, open_directory_tree(uri.path));
    }
    return std::make_unique<OciSource>(uri, std::move(tree), context.config->limits.layers);
}

} // namespace slipway::prefetch::sources
