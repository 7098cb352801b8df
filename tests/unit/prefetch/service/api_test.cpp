// SPDX-License-Identifier: Apache-2.0
#include "prefetch/service/api.hpp"

#include <catch2/catch.hpp>

using namespace slipway;
using namespace slipway::prefetch::stage;
using namespace slipway::prefetch::service;

TEST_CASE("a submit body holds known fields of the right type, nothing else") {
    const auto good = parse_submit(
        R"({"reference":"docker://x/y:1","platform":"linux/arm64","pull":"always","detach":true})", 7);
    REQUIRE(good);
    CHECK(good->first.reference == "docker://x/y:1");
    CHECK(good->first.platform == "linux/arm64");
    CHECK(good->first.pull == PullPolicy::always);
    CHECK(good->first.uid == 7);
    CHECK(good->second);

    for (const auto* bad : {
             "",
             "[]",
             "{",
             R"({"reference":7})",
             R"({"reference":""})",
             R"({})",
             R"({"reference":"x","pull":"sometimes"})",
             R"({"reference":"x","uid":0})", // who asks is what the kernel says
             R"({"reference":"x","detach":"yes"})",
         }) {
        CAPTURE(bad);
        CHECK_FALSE(parse_submit(bad, 7));
    }
    CHECK_FALSE(parse_submit("{\"reference\":\"" + std::string(2000, 'x') + "\"}", 7));
    std::string deep;
    for (int i = 0; i < 20000; ++i) {
        deep += "[";
    }
    CHECK_FALSE(parse_submit(deep, 7));
}

TEST_CASE("errors have the status that fits") {
    CHECK(error_response({base::Code::policy_denied, 0, "m", "h"}).status == 403);
    CHECK(error_response({base::Code::service_busy, 0, "m", "h"}).status == 429);
    CHECK(error_response({base::Code::internal, 0, "m", "h"}).status == 500);
    CHECK(error_response({base::Code::not_staged, 0, "m", "h"}).body ==
          "{\"code\":\"not-staged\",\"message\":\"m\",\"hint\":\"h\"}\n");
}

TEST_CASE("metrics are Prometheus text") {
    Metrics metrics;
    metrics.requests = 3;
    const auto text = metrics.text(1, 2);
    CHECK(text.find("# TYPE slipway_requests_total counter\nslipway_requests_total 3\n") !=
          std::string::npos);
    CHECK(text.find("slipway_work_queued 2\n") != std::string::npos);
}
