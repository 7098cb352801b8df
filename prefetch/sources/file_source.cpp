// SPDX-License-Identifier: Apache-2.0
// file: and bare paths, a finished image on this machine.
#include "base/format.hpp"
#include "base/text.hpp"
#include "image/open_image.hpp"
#include "image/transports.hpp"
#include "prefetch/sources/local_source.hpp"

namespace slipway::prefetch::sources {
namespace {

using base::Code;

class FileSource : public Source {
  public:
    FileSource(image::ImageUri uri, base::UniqueFd file, std::uint64_t size)
        : uri_(std::move(uri)),
          content_{std::make_shared<const base::UniqueFd>(std::move(file)), size} {}

    base::Result<RemoteHead> head(const image::Platform&, std::stop_token stop) override {
        TRY_ASSIGN(auto digest, digest_of_content(stop));
        return RemoteHead{std::move(digest), false};
    }

    base::Result<ResolvedImage> resolve(const image::Platform& wanted, std::stop_token stop) override {
        ResolvedImage image;
        TRY_ASSIGN(image.manifest_digest, digest_of_content(stop));
        image.root_digest = image.manifest_digest;
        image.canonical_reference = uri_.text();
        image.platform = wanted;
        image.origin_kind = std::string(image::transport_name(uri_.transport));
        image.content = content_;
        return image;
    }

  private:
    [[nodiscard]] base::Result<image::Digest> digest_of_content(const std::stop_token& stop) const {
        auto digest = image::sha256_of_file(content_.file->get(), 0, content_.size, stop);
        if (!digest && digest.error().code != Code::interrupted) {
            return base::Unexpected(
                std::move(digest).error().context("reading " + base::in_quotes(uri_.path)));
        }
        return digest;
    }

    image::ImageUri uri_;
    FinishedFile content_;
};

} // namespace

base::Result<std::unique_ptr<Source>> make_file_source(const image::ImageUri& uri,
                                                       const SourceContext& context) {
    TRY_ASSIGN(auto open, image::open_image(uri.path));
    const auto name = base::in_quotes(uri.path);
    if (open.directory) {
        return base::fail(Code::unsupported,
                          name + " is a directory, and SIF files are not made from directories",
                          "run it as it is: slipway exec DIRECTORY COMMAND");
    }
    if (open.size > context.config->limits.image_size) {
        return base::fail(Code::limit_exceeded,
                          fmt::format("{} has {}, more than the {} that an image may have", name,
                                      base::size_text(open.size),
                                      base::size_text(context.config->limits.image_size)),
                          "ask for a higher limit (limits.image_size)");
    }
    return std::make_unique<FileSource>(uri, std::move(open.fd), open.size);
}

} // namespace slipway::prefetch::sources
