// SPDX-License-Identifier: Apache-2.0
#include "prefetch/sources/choose.hpp"

#include "base/format.hpp"

#include <optional>
#include <utility>
#include <vector>

namespace slipway::prefetch::sources {
namespace {

using base::Code;
using base::fail;

constexpr int max_indexes = 4;
constexpr std::size_t max_questions = 32; ///< configurations that one choice may ask

/// Goes down from an index to the image of one platform.
class Choice {
  public:
    Choice(const image::Platform& wanted, DocumentSource& source)
        : wanted_(wanted), source_(source) {}

    base::Result<ChosenImage> descend(RawDocument document, int depth) {
        TRY_ASSIGN(auto parsed, image::parse_document(document.body, document.content_type));
        if (auto* manifest = std::get_if<image::Manifest>(&parsed)) {
            return load(std::move(document), std::move(*manifest));
        }
        if (depth == max_indexes) {
            return fail(Code::source_protocol,
                        fmt::format("the image is an index inside {} indexes", max_indexes),
                        "push the image again with a common tool");
        }
        const auto& index = std::get<image::Index>(parsed);
        const auto entry = image::select_platform(index, wanted_);
        if (entry) {
            return descend_into(*entry, depth);
        }
        auto unlabelled = image::unlabelled_entries(index);
        if (unlabelled.empty()) {
            return base::Unexpected(entry.error());
        }
        return ask_each(unlabelled, depth);
    }

  private:
    base::Result<ChosenImage> descend_into(const image::Descriptor& entry, int depth) {
        TRY_ASSIGN(auto document, source_.document(entry));
        TRY(verify(document.body, entry, "manifest"));
        document.digest = entry.digest;
        return descend(std::move(document), depth + 1);
    }

    /// Entries without a platform: the first whose configuration is for the wanted one (containerd's
    /// rule), else the first whose configuration does not say either (skopeo's).
    base::Result<ChosenImage> ask_each(const std::vector<image::Descriptor>& entries, int depth) {
        std::optional<ChosenImage> silent;
        std::optional<base::Error> first_error;
        for (const auto& entry : entries) {
            if (++questions_ > max_questions) {
                return fail(Code::limit_exceeded,
                            fmt::format("the image has more than {} entries without a platform",
                                        max_questions),
                            "push the image again with a common tool");
            }
            auto chosen = descend_into(entry, depth);
            if (chosen && !chosen->config.platform.architecture.empty()) {
                return chosen;
            }
            if (chosen) {
                if (!silent) {
                    silent = std::move(*chosen);
                }
                continue;
            }
            const auto code = chosen.error().code;
            if (code != Code::platform_mismatch && code != Code::media_type) {
                return chosen;
            }
            if (!first_error) {
                first_error = std::move(chosen.error());
            }
        }
        if (silent) {
            return std::move(*silent);
        }
        return base::Unexpected(std::move(*first_error));
    }

    /// The configuration says whether it is an image, and for which platform.
    base::Result<ChosenImage> load(RawDocument document, image::Manifest manifest) {
        TRY(image::require_image(manifest));
        ChosenImage chosen;
        TRY_ASSIGN(chosen.config_json, source_.small_blob(manifest.config));
        TRY(verify(chosen.config_json, manifest.config, "image configuration"));
        TRY_ASSIGN(chosen.config, image::parse_image_config(chosen.config_json));
        TRY(image::require_image(manifest, chosen.config));
        auto platform = chosen.config.platform;
        if (platform.os.empty()) {
            platform.os = wanted_.os;
        }
        if (!platform.architecture.empty() && !image::platform_matches(wanted_, platform)) {
            return fail(
                Code::platform_mismatch,
                fmt::format("the image is for {}, not for {}", platform.text(), wanted_.text()),
                "ask for another tag, or for the platform by --platform");
        }
        chosen.manifest = std::move(manifest);
        chosen.manifest_document = std::move(document);
        return chosen;
    }

    const image::Platform& wanted_;
    DocumentSource& source_;
    std::size_t questions_ = 0;
};

base::Result<void> check_layers(const image::ImageConfig& config, const image::Manifest& manifest,
                                std::uint64_t max_layers) {
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
    TRY_ASSIGN(auto chosen, Choice(wanted, source).descend(std::move(root), 0));
    TRY(check_layers(chosen.config, chosen.manifest, max_layers));
    return chosen;
}

} // namespace slipway::prefetch::sources
