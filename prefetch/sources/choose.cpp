// SPDX-License-Identifier: Apache-2.0
#include "prefetch/sources/choose.hpp"

#include "base/format.hpp"

namespace slipway::prefetch::sources {
namespace {

using base::Code;
using base::fail;

constexpr int max_indexes = 4;

base::Result<image::Manifest> descend(RawDocument& document, const image::Platform& wanted,
                                      DocumentSource& source) {
    for (int depth = 0;; ++depth) {
        TRY_ASSIGN(auto parsed, image::parse_document(document.body, document.content_type));
        if (auto* manifest = std::get_if<image::Manifest>(&parsed)) {
            return std::move(*manifest);
        }
        if (depth == max_indexes) {
            return fail(Code::source_protocol,
                        fmt::format("the image is an index inside {} indexes", max_indexes),
                        "push the image again with a common tool");
        }
        TRY_ASSIGN(const auto entry, image::select_platform(std::get<image::Index>(parsed), wanted));
        TRY_ASSIGN(document, source.document(entry));
        TRY(verify(document.body, entry, "manifest"));
        document.digest = entry.digest;
    }
}

base::Result<void> check_config(const image::ImageConfig& config, const image::Manifest& manifest,
                                const image::Platform& wanted, std::uint64_t max_layers) {
    if (manifest.layers.size() > max_layers) {
        return fail(Code::limit_exceeded,
                    fmt::format("the image has {} layers, more than the {} that this site allows",
                                manifest.layers.size(), max_layers),
                    "the administrator can raise limits.layers in slipway.yaml");
    }
    if (config.diff_ids.size() != manifest.layers.size()) {
        return fail(Code::source_protocol,
                    fmt::format("the image has {} layers but its configuration names {}",
                                manifest.layers.size(), config.diff_ids.size()),
                    "push the image again");
    }
    const auto& platform = config.platform;
    if (!platform.architecture.empty() && !image::platform_matches(wanted, platform)) {
        return fail(Code::platform_mismatch,
                    fmt::format("the image is for {}, not for {}", platform.text(), wanted.text()),
                    "ask for another tag, or for the platform by --platform");
    }
    return {};
}

} // namespace

base::Result<void> verify(std::string_view body, const image::Descriptor& expected,
                          std::string_view what) {
    if (body.size() != expected.size) {
        return fail(Code::digest_mismatch,
                    fmt::format("{} {} has {} bytes instead of {}", what, expected.digest.text(),
                                body.size(), expected.size),
                    "the image is damaged where it comes from; push it again");
    }
    image::Hasher hasher(expected.digest);
    hasher.update(body);
    return image::require_digest(hasher.finish(), expected.digest, what);
}

base::Result<ChosenImage> choose_image(RawDocument root, const image::Platform& wanted,
                                       DocumentSource& source, std::uint64_t max_layers) {
    ChosenImage chosen;
    TRY_ASSIGN(chosen.manifest, descend(root, wanted, source));
    chosen.manifest_document = std::move(root);
    TRY(image::require_image(chosen.manifest));
    TRY_ASSIGN(chosen.config_json, source.small_blob(chosen.manifest.config));
    TRY(verify(chosen.config_json, chosen.manifest.config, "image configuration"));
    TRY_ASSIGN(chosen.config, image::parse_image_config(chosen.config_json));
    TRY(check_config(chosen.config, chosen.manifest, wanted, max_layers));
    return chosen;
}

} // namespace slipway::prefetch::sources
