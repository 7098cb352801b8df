// SPDX-License-Identifier: Apache-2.0
#include "prefetch/transfer/error_body.hpp"
#include "prefetch/transfer/headers.hpp"
#include "prefetch/transfer/retry.hpp"

#include <catch2/catch.hpp>

using namespace slipway;
using namespace slipway::prefetch::transfer;
using namespace std::chrono_literals;
using slipway::base::Code;

TEST_CASE("header fields are found without case") {
    Headers headers;
    headers.add("WWW-Authenticate", "Basic");
    headers.add("www-authenticate", "Bearer");
    CHECK(headers.get("Www-Authenticate") == "Basic");
    CHECK(headers.all("WWW-AUTHENTICATE") == std::vector<std::string>{"Basic", "Bearer"});
    CHECK(headers.get("Location").empty());
    CHECK_FALSE(headers.has("Location"));
    CHECK(media_type_of(" Application/JSON; charset=utf-8") == "application/json");
}

TEST_CASE("content ranges") {
    const auto range = parse_content_range("bytes 10-19/100");
    REQUIRE(range);
    CHECK(range->first == 10);
    CHECK(range->last == 19);
    CHECK(range->total == 100);
    CHECK(parse_content_range("bytes 0-0/*"));
    CHECK_FALSE(parse_content_range("bytes 0-0/*")->total);
    for (const char* bad : {"", "bytes", "bytes */100", "bytes 5-4/100", "bytes 0-100/100",
                            "bytes 1-2", "lines 1-2/3", "bytes -1-2/3", "bytes 1-x/3",
                            "bytes 99999999999999999999-2/3"}) {
        INFO(bad);
        CHECK_FALSE(parse_content_range(bad));
    }
}

TEST_CASE("Retry-After is seconds or a date") {
    const auto now = *parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT");
    CHECK(now.time_since_epoch().count() == 784111777);
    CHECK(parse_retry_after("120", now) == 120s);
    CHECK(parse_retry_after(" 0 ", now) == 0s);
    CHECK(parse_retry_after("Sun, 06 Nov 1994 08:50:37 GMT", now) == 60s);
    CHECK(parse_retry_after("Sun, 06 Nov 1994 08:40:00 GMT", now) == 0s);
    // The two older forms, which recipients must understand.
    CHECK(parse_retry_after("Sunday, 06-Nov-94 08:50:37 GMT", now) == 60s);
    CHECK(parse_retry_after("Sun Nov  6 08:50:37 1994", now) == 60s);
    for (const char* bad : {"", "-1", "soon", "1.5", "Sun, 06 Nov 1994 25:49:37 GMT", "2030-01-01",
                            "99999999999999999999"}) {
        INFO(bad);
        CHECK_FALSE(parse_retry_after(bad, now));
    }
}

TEST_CASE("the pause doubles up to its limit, with jitter") {
    RetryPolicy policy;
    CHECK(backoff(policy, 1, 0.5) == 1000ms);
    CHECK(backoff(policy, 2, 0.5) == 2000ms);
    CHECK(backoff(policy, 4, 0.5) == 8000ms);
    CHECK(backoff(policy, 60, 0.5) == 60'000ms);
    CHECK(backoff(policy, 1, 0.0) == 750ms);
    CHECK(backoff(policy, 1, 1.0) == 1250ms);
}

TEST_CASE("error bodies become one safe line") {
    CHECK(error_text(R"({"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"},{"code":"X"}]})") ==
          "TOOMANYREQUESTS: slow down; X");
    CHECK(error_text(R"({"details":"incorrect username or password"})") ==
          "incorrect username or password");
    CHECK(error_text(R"({"error":"invalid_grant","error_description":"no"})") == "invalid_grant: no");
    CHECK(error_text(R"({"message":"page not found"})") == "page not found");
    CHECK(error_text("plain words\nmore") == "plain words");
    CHECK(error_text("<html>no</html>").empty());
    CHECK(error_text("{broken").empty());
    CHECK(error_text(R"({"errors":[{"message":"\u001b[2J"}]})") == "\\x1b[2J");
    CHECK(error_text(R"({"errors":[1,null,"x"]})").empty());
    CHECK(error_text(R"({"message":")" + std::string(5000, 'a') + "\"}").size() <= 303);

    HttpHead head;
    head.status = 429;
    const auto error = status_error(*Url::parse("https://r/v2/x?token=1"), head, "too many");
    CHECK(error.code == Code::source_rate_limited);
    CHECK(error.message == "r/v2/x answers 429: too many");
    head.status = 403;
    CHECK(status_error(*Url::parse("https://r/"), head, "").code == Code::source_denied);
    head.status = 404;
    CHECK(status_error(*Url::parse("https://r/"), head, "").code == Code::source_not_found);
    head.status = 502;
    CHECK(status_error(*Url::parse("https://r/"), head, "").code == Code::source_unreachable);
    head.status = 302;
    CHECK(status_error(*Url::parse("https://r/"), head, "").code == Code::source_protocol);
}
