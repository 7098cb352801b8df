// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/temp_dir.hpp"
#include "image/digest.hpp"
#include "prefetch/staging/stager.hpp"

#include <catch2/catch.hpp>
#include <unistd.h>

#include <functional>

/// The engine with a source and a converter that the test controls: no network, no real images.
namespace slipway::test {

using namespace prefetch;
using prefetch::stage::Phase;
using prefetch::stage::PullPolicy;

inline constexpr const char* tagged = "docker://reg.example/team/app:1.0";

inline image::Digest digest_of(const std::string& text) {
    return *image::Digest::parse("sha256:" + image::sha256_hex(text));
}

/// What the registry of the test says.
struct Registry {
    std::string manifest = "first"; ///< what the tag means
    std::uint64_t layer_size = 1000;
    bool answers = true;
    bool users_own = false;
    int heads = 0, resolves = 0;
    std::function<void()> resolving; ///< called while the manifest is fetched
};

class FakeSource : public sources::Source {
  public:
    FakeSource(image::ImageUri uri, Registry& registry)
        : uri_(std::move(uri)), registry_(registry) {}
    base::Result<sources::RemoteHead> head(const image::Platform&, std::stop_token) override {
        ++registry_.heads;
        if (!registry_.answers) {
            return base::fail(base::Code::source_unreachable, "no answer");
        }
        return sources::RemoteHead{digest_of(registry_.manifest), false};
    }
    base::Result<sources::ResolvedImage> resolve(const image::Platform&, std::stop_token) override {
        ++registry_.resolves;
        if (registry_.resolving) {
            registry_.resolving();
        }
        sources::ResolvedImage image;
        image.root_digest = image.manifest_digest = digest_of(registry_.manifest);
        auto pinned = uri_;
        pinned.reference.digest = image.manifest_digest;
        image.canonical_reference = pinned.text();
        image.origin_kind = "docker";
        image.users_own_credentials = registry_.users_own;
        image::LayerInput layer;
        layer.blob.size = registry_.layer_size;
        sources::LayeredImage content;
        content.layers.push_back(layer);
        image.content = std::move(content);
        return image;
    }

  private:
    image::ImageUri uri_;
    Registry& registry_;
};

struct Bench {
    base::TempDir dir = std::move(*base::TempDir::create("slipway-stager-"));
    Registry registry;
    int conversions = 0;
    base::Result<void> conversion_result{};
    std::vector<Phase> phases;

    std::unique_ptr<staging::Stager> stager(const std::string& store = "store",
                                            std::vector<std::string> also = {},
                                            store::Access access = store::Access::private_user) {
        staging::StagerOptions options;
        options.config = std::make_shared<config::Config>();
        options.store.path = dir.path() + "/" + store;
        options.store.access = access;
        options.store.quota = std::uint64_t{1} << 30U;
        for (const auto& name : also) {
            options.also_look.push_back({.path = dir.path() + "/" + name});
        }
        staging::StagerParts parts;
        parts.make_source = [this](const image::ImageUri& uri, const sources::SourceContext&)
            -> base::Result<std::unique_ptr<sources::Source>> {
            return std::make_unique<FakeSource>(uri, registry);
        };
        parts.convert = [this](const sources::LayeredImage&, const image::NativeSource&,
                               const config::Config&, int fd, const stage::StageSink& sink,
                               std::stop_token) -> base::Result<convert::ConvertReport> {
            ++conversions;
            sink({Phase::converting, 1, 2, {}, {}});
            TRY(conversion_result);
            TRY(base::write_all(fd, "SIF"));
            convert::ConvertReport report;
            report.image_bytes = 3;
            report.output = digest_of("SIF");
            return report;
        };
        auto made = staging::Stager::create(std::move(options), std::move(parts));
        REQUIRE(made);
        return std::move(*made);
    }

    base::Result<stage::StagedImage> stage(const staging::Stager& with,
                                           const std::string& reference = tagged,
                                           PullPolicy pull = PullPolicy::missing) {
        stage::StageRequest request;
        request.reference = reference;
        request.pull = pull;
        request.uid = 1000;
        phases.clear();
        return with.stage(
            request, [this](const stage::StageProgress& progress) { phases.push_back(progress.phase); },
            {});
    }
    [[nodiscard]] bool granted(const std::string& store, const std::string& id) const {
        return ::access((dir.path() + "/" + store + "/grants/" + id).c_str(), F_OK) == 0;
    }
};

} // namespace slipway::test
