// SPDX-License-Identifier: Apache-2.0
// The engine with a source and a converter that the test controls: no network, no real images.
#include "base/directory.hpp"
#include "stager_bench.hpp"

using namespace slipway;
using namespace slipway::test;

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
