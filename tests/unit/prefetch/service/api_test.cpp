// SPDX-License-Identifier: Apache-2.0
#include "prefetch/service/api.hpp"

#include "base/temp_dir.hpp"
#include "image/digest.hpp"

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

TEST_CASE("only who asked for work sees it; to others it never was") {
    auto dir = base::TempDir::create("slipway-api-");
    auto opened = store::Store::open({.path = dir->path() + "/store"});
    REQUIRE(opened);
    const auto at_once = [](const std::function<void()>& work, const std::function<void(bool)>& then) {
        work();
        then(true);
    };
    JobTable table({}, [](const std::shared_ptr<Job>&) {});
    Metrics metrics;
    Api api(table, metrics, *opened, 900, at_once, at_once);
    const auto ask = [&](uid_t uid, const std::string& method, const std::string& target,
                         const std::string& body = {}) {
        ApiResponse answer;
        api.handle({method, target, {}, body, {uid, 1}},
                   [&](ApiResponse response) { answer = std::move(response); });
        return answer;
    };
    REQUIRE(ask(1000, "POST", "/v1/images", R"({"reference":"docker://x/private:1"})").status == 202);
    const auto id = table.all().front()->id;
    const std::string never(id.size(), '0');
    for (const auto* tail : {"", "/events"}) {
        CHECK(ask(1000, "GET", "/v1/images/" + id + tail).status == 200);
        CHECK(ask(0, "GET", "/v1/images/" + id + tail).status == 200);
        CHECK(ask(900, "GET", "/v1/images/" + id + tail).status == 200);
        auto foreign = ask(1001, "GET", "/v1/images/" + id + tail);
        const auto unknown = ask(1001, "GET", "/v1/images/" + never + tail);
        CHECK(foreign.status == 404);
        CHECK(foreign.stream == nullptr);
        foreign.body.replace(foreign.body.find(id), id.size(), never);
        CHECK(foreign.body == unknown.body);
    }
    CHECK(ask(1001, "GET", "/v1/images").body.find("private") == std::string::npos);
    CHECK(ask(1000, "GET", "/v1/images").body.find("private") != std::string::npos);
}

TEST_CASE("every route answers, and changes are for the administrator") {
    auto dir = base::TempDir::create("slipway-api-");
    auto opened = store::Store::open({.path = dir->path() + "/store"});
    REQUIRE(opened);
    const auto at_once = [](const std::function<void()>& work, const std::function<void(bool)>& then) {
        work();
        then(true);
    };
    JobTable table({}, [](const std::shared_ptr<Job>&) {});
    Metrics metrics;
    Api api(table, metrics, *opened, 900, at_once, at_once);
    for (const auto& route : Api::routes()) {
        CAPTURE(route.method, route.pattern);
        std::string target(route.pattern);
        if (const auto at = target.find("{id}"); at != std::string::npos) {
            target.replace(at, 4, image::sha256_hex("nothing"));
        }
        unsigned status = 0;
        api.handle({std::string(route.method), target, {}, {}, {1000, 1}},
                   [&](const ApiResponse& response) { status = response.status; });
        CHECK(status != 0);
        CHECK((status == 403) == (route.access == Api::Access::admin));
    }
}

TEST_CASE("metrics are Prometheus text") {
    Metrics metrics;
    metrics.requests = 3;
    const auto text = metrics.text(1, 2);
    CHECK(text.find("# TYPE slipway_requests_total counter\nslipway_requests_total 3\n") !=
          std::string::npos);
    CHECK(text.find("slipway_work_queued 2\n") != std::string::npos);
}
