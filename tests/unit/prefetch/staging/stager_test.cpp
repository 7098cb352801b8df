// SPDX-License-Identifier: Apache-2.0
// The engine with a source and a converter that the test controls: no network, no real images.
#include "prefetch/staging/stager.hpp"

#include "base/directory.hpp"
#include "base/temp_dir.hpp"
#include "image/digest.hpp"

#include <catch2/catch.hpp>
#include <unistd.h>

using namespace slipway;
using namespace slipway::prefetch;
using prefetch::stage::Phase;
using prefetch::stage::PullPolicy;

namespace {

constexpr const char* tagged = "docker://reg.example/team/app:1.0";

image::Digest digest_of(const std::string& text) {
    return *image::Digest::parse("sha256:" + image::sha256_hex(text));
}

/// What the registry of the test says.
struct Registry {
    std::string manifest = "first"; ///< what the tag means
    std::uint64_t layer_size = 1000;
    bool answers = true;
    bool users_own = false;
    int heads = 0, resolves = 0;
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
        sources::ResolvedImage image;
        image.root_digest = image.manifest_digest = digest_of(registry_.manifest);
        auto pinned = uri_;
        pinned.reference.digest = image.manifest_digest;
        image.canonical_reference = pinned.text();
        image.origin_kind = "docker";
        image.users_own_credentials = registry_.users_own;
        image::LayerInput layer;
        layer.blob.size = registry_.layer_size;
        image.layers.push_back(layer);
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
        parts.make_source = [this](const image::ImageUri& uri, sources::SourceContext)
            -> base::Result<std::unique_ptr<sources::Source>> {
            return std::make_unique<FakeSource>(uri, registry);
        };
        parts.convert = [this](const sources::ResolvedImage&, const image::NativeSource&,
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

} // namespace

TEST_CASE("an image is made once, and every run pins it to the same tag and digest") {
    Bench bench;
    const auto stager = bench.stager();
    const auto first = bench.stage(*stager);
    REQUIRE(first);
    CHECK_FALSE(first->was_present);
    CHECK(::access(first->path.c_str(), R_OK) == 0);
    CHECK(bench.phases == std::vector{Phase::resolving, Phase::resolving, Phase::resolved,
                                      Phase::converting, Phase::publishing});
    const auto second = bench.stage(*stager);
    REQUIRE(second);
    CHECK(second->was_present);
    CHECK(bench.conversions == 1);
    CHECK(bench.registry.resolves == 1);
    CHECK(first->reference == std::string(tagged) + "@" + digest_of("first").text());
    CHECK(second->reference == first->reference);
    // What a job was pinned to gives the same, without the registry.
    const auto heads = bench.registry.heads;
    const auto pinned = bench.stage(*stager, first->reference);
    REQUIRE(pinned);
    CHECK(pinned->reference == first->reference);
    CHECK(pinned->id == first->id);
    CHECK(bench.registry.heads == heads);
}

TEST_CASE("an image that was removed is made again, whatever was recorded") {
    Bench bench;
    const auto stager = bench.stager();
    const auto first = bench.stage(*stager);
    REQUIRE(first);
    REQUIRE(stager->store().remove(first->id, true));
    const auto again = bench.stage(*stager, first->reference);
    REQUIRE(again);
    CHECK_FALSE(again->was_present);
    CHECK(bench.conversions == 2);
    CHECK(::access(again->path.c_str(), R_OK) == 0);
}

TEST_CASE("grants are written where the image is, and nowhere else") {
    Bench bench;
    const auto site = bench.stager("site");
    const auto there = bench.stage(*site);
    REQUIRE(there);
    CHECK(bench.granted("site", there->id));
    const auto own = bench.stager("own", {"site"});
    for (const auto& reference : {std::string(tagged), there->reference}) {
        const auto found = bench.stage(*own, reference);
        REQUIRE(found);
        CHECK(found->path == there->path);
        CHECK(found->was_present);
    }
    CHECK_FALSE(bench.granted("own", there->id));
    CHECK(bench.conversions == 1);
}

TEST_CASE("a claim that cannot fit is refused before a byte, and costs nobody's image") {
    Bench bench;
    const auto stager = bench.stager();
    const auto first = bench.stage(*stager);
    REQUIRE(first);
    (void)base::remove_tree(bench.dir.path() + "/store/grants/" + first->id);
    bench.registry.manifest = "claims";
    for (const auto claim : {std::uint64_t{1} << 42U, (std::uint64_t{1} << 30U) - 100}) {
        bench.registry.layer_size = claim;
        const auto refused = bench.stage(*stager);
        REQUIRE_FALSE(refused);
        CHECK(refused.error().code == base::Code::quota_exceeded);
    }
    CHECK(bench.conversions == 1);
    CHECK(stager->store().find(first->id));
}

TEST_CASE("a registry that does not answer: what the tag meant last is used, if it is still there") {
    Bench bench;
    const auto stager = bench.stager();
    const auto first = bench.stage(*stager);
    REQUIRE(first);
    bench.registry.answers = false;
    const auto last = bench.stage(*stager);
    REQUIRE(last);
    CHECK(last->id == first->id);
    CHECK_FALSE(bench.stage(*stager, tagged, PullPolicy::always));
    REQUIRE(stager->store().remove(first->id, true));
    const auto gone = bench.stage(*stager);
    REQUIRE_FALSE(gone);
    CHECK(gone.error().code == base::Code::source_unreachable);
}

TEST_CASE("a tag that moved is another image; never asks nobody") {
    Bench bench;
    const auto stager = bench.stager();
    const auto first = bench.stage(*stager);
    REQUIRE(first);
    bench.registry.manifest = "second";
    const auto old = bench.stage(*stager, tagged, PullPolicy::never);
    REQUIRE(old);
    CHECK(old->id == first->id);
    const auto moved = bench.stage(*stager);
    REQUIRE(moved);
    CHECK(moved->id != first->id);
    const auto unknown = bench.stage(*stager, "docker://reg.example/team/other:1", PullPolicy::never);
    REQUIRE_FALSE(unknown);
    CHECK(unknown.error().code == base::Code::not_staged);
}

TEST_CASE("what fails leaves nothing behind, and says what to do") {
    Bench bench;
    const auto stager = bench.stager();
    bench.conversion_result = base::fail(base::Code::layer_invalid, "layer 1 is damaged");
    const auto failed = bench.stage(*stager);
    REQUIRE_FALSE(failed);
    CHECK(failed.error().code == base::Code::layer_invalid);
    CHECK_FALSE(failed.error().hint.empty());
    REQUIRE(stager->store().list());
    CHECK(stager->store().list()->empty());
    const auto left = base::names_in(bench.dir.path() + "/store/tmp");
    REQUIRE(left);
    CHECK(left->empty());
}

TEST_CASE("what was fetched with a user's own credentials never enters a shared store") {
    Bench bench;
    bench.registry.users_own = true;
    const auto shared = bench.stager("shared", {}, store::Access::shared);
    const auto refused = bench.stage(*shared);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == base::Code::source_denied);
    CHECK(bench.conversions == 0);
    CHECK(bench.stage(*bench.stager("own")));
}
