// SPDX-License-Identifier: Apache-2.0
#include "prefetch/convert/protocol.hpp"

#include <catch2/catch.hpp>

using namespace slipway;
using namespace slipway::prefetch::convert;
using base::Code;

namespace {

base::Result<Request> decode_request(std::string_view bytes) {
    TRY_ASSIGN(auto order, decode_order(bytes));
    REQUIRE(std::holds_alternative<Request>(order));
    return std::get<Request>(std::move(order));
}

} // namespace

TEST_CASE("the order to check a file comes out as it went in") {
    const auto bytes = encode(FinishedCheck{"/a b.sif", 1ULL << 40U, "arm64"});
    const auto again = decode_order(bytes);
    REQUIRE(again);
    const auto* check = std::get_if<FinishedCheck>(&*again);
    REQUIRE(check != nullptr);
    CHECK(check->name == "/a b.sif");
    CHECK(check->size == 1ULL << 40U);
    CHECK(check->architecture == "arm64");
    for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
        CHECK_FALSE(decode_order(std::string_view(bytes).substr(0, cut)));
    }
    CHECK_FALSE(decode_order(bytes + "x"));
}

TEST_CASE("a request comes out as it went in") {
    Request request;
    request.options.level = 7;
    request.options.threads = 3;
    request.options.memory = 1ULL << 40U;
    request.options.keep_owners = true;
    request.options.limits.depth = 99;
    const auto digest = image::sha256(std::string_view("x"));
    request.layers.push_back({{}, digest});
    request.layers.back().blob.digest = digest;
    request.layers.back().blob.size = 12345;
    request.layers.back().blob.media_type = "application/x";
    request.native.deffile = "bootstrap: docker\n";
    request.native.time = UINT32_MAX;
    request.native.tree.push_back({".exec", image::EntryKind::symlink, image::EntryRule::truncate,
                                   0644, std::string("a\0b", 3)});
    const auto bytes = encode(request);
    const auto again = decode_request(bytes);
    REQUIRE(again);
    CHECK(encode(*again) == bytes);
    CHECK(again->options.level == 7);
    CHECK(again->options.keep_owners);
    CHECK(again->layers.at(0).blob.size == 12345);
    CHECK(again->layers.at(0).diff_id == digest);
    CHECK(again->native.tree.at(0).content == std::string("a\0b", 3));
    for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
        CHECK_FALSE(decode_request(std::string_view(bytes).substr(0, cut)));
    }
    CHECK_FALSE(decode_request(bytes + "x"));
}

TEST_CASE("no level is not the same as level 0") {
    Request request;
    auto again = decode_request(encode(request));
    REQUIRE(again);
    CHECK_FALSE(again->options.level);
    request.options.level = -5;
    again = decode_request(encode(request));
    REQUIRE(again);
    CHECK(again->options.level == -5);
}

TEST_CASE("messages come out as they went in") {
    ConvertReport report;
    report.image_bytes = 7;
    report.warnings = {"one", "two"};
    for (const FromChild& message :
         {FromChild(OpenLayer{1, 2}), FromChild(CloseLayer{3}), FromChild(LayerBytes{1, 1ULL << 50U}),
          FromChild(PhaseChange{ConvertPhase::tables}), FromChild(Done{report}),
          FromChild(Failed{{Code::layer_invalid, 5, "why", "what next"}})}) {
        const auto bytes = encode(message);
        const auto again = decode_from_child(bytes);
        REQUIRE(again);
        CHECK(again->index() == message.index());
        CHECK(encode(*again) == bytes);
        for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
            CHECK_FALSE(decode_from_child(std::string_view(bytes).substr(0, cut)));
        }
        CHECK_FALSE(decode_from_child(bytes + '\0'));
    }
    for (const FromParent& message :
         {FromParent(LayerBlob{1, true, 2, 3}), FromParent(LayerEnd{4}),
          FromParent(LayerFailed{5, {Code::source_unreachable, 0, "gone", ""}})}) {
        const auto again = decode_from_parent(encode(message));
        REQUIRE(again);
        CHECK(encode(*again) == encode(message));
    }
}

TEST_CASE("what a child says is bounded") {
    ConvertReport report;
    for (int i = 0; i < 100; ++i) {
        report.warnings.emplace_back(100'000, 'w');
    }
    CHECK(encode(FromChild(Done{report})).size() < max_message);
    const base::Error error{Code::layer_invalid, 0, std::string(1'000'000, 'm'),
                            std::string(1'000'000, 'h')};
    const auto bytes = encode(FromChild(Failed{error}));
    CHECK(bytes.size() < max_message);
    const auto again = decode_from_child(bytes);
    REQUIRE(again);
    CHECK(std::get<Failed>(*again).error.message.size() == max_error_text);
    auto phase = encode(FromChild(PhaseChange{ConvertPhase::tables}));
    phase[8] = 3;
    CHECK_FALSE(decode_from_child(phase));
    auto kind = encode(FromChild(CloseLayer{0}));
    kind[0] = 6;
    CHECK_FALSE(decode_from_child(kind));
    auto serial = encode(FromChild(CloseLayer{0}));
    serial[14] = 1; // beyond 32 bits
    CHECK_FALSE(decode_from_child(serial));
}
