// SPDX-License-Identifier: Apache-2.0
#include "base/format.hpp"
#include "base/text.hpp"
#include "prefetch/transfer/fetch.hpp"
#include "tests/support/http_server.hpp"

#include <catch2/catch.hpp>

#include <array>
#include <atomic>

using namespace slipway;
using namespace slipway::prefetch::transfer;
using namespace std::chrono_literals;
using slipway::base::Code;
using slipway::test::Connection;
using slipway::test::HttpServer;
using slipway::test::ServerRequest;

namespace {

/// A context whose pauses take no time and are written down.
struct Bench {
    std::vector<std::chrono::milliseconds> pauses;
    FetchContext context;

    Bench() {
        HttpClient::Options options;
        options.environment = [](const std::string&) { return std::string(); };
        context.client = *HttpClient::create(std::move(options));
        context.pace.sleep = [this](std::chrono::milliseconds time, const std::stop_token& stop) {
            pauses.push_back(time);
            return !stop.stop_requested();
        };
        context.pace.jitter = [] { return 0.5; };
        context.pace.now = [] { return *parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT"); };
    }
};

FetchRequest get(const HttpServer& server, std::string_view target) {
    FetchRequest request;
    request.http.url = *Url::parse(server.url(target));
    request.http.idle_timeout = 1s;
    return request;
}

/// 3 MiB in which no two places look alike.
const std::string& blob() {
    static const std::string bytes = [] {
        std::string made;
        for (std::uint32_t i = 0; made.size() < (3U << 20); ++i) {
            made += fmt::format("{:08x}", i * 2654435761U);
        }
        return made;
    }();
    return bytes;
}

std::uint64_t range_start(const ServerRequest& request) {
    const auto range = request.header("range");
    const auto start = slipway::base::parse_u64(
        std::string_view(range).substr(std::min<std::size_t>(6, range.size()),
                                       range.find('-') - std::min<std::size_t>(6, range.size())));
    return start ? *start : 0;
}

bool send_part(Connection& out, std::uint64_t from, std::uint64_t count) {
    const auto& all = blob();
    const auto head =
        from == 0 ? fmt::format("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", all.size())
                  : fmt::format("HTTP/1.1 206 Partial\r\nContent-Length: {}\r\nContent-Range: bytes "
                                "{}-{}/{}\r\n\r\n",
                                all.size() - from, from, all.size() - 1, all.size());
    return out.send(head) && out.send(std::string_view(all).substr(from, count)) &&
           from + count >= all.size();
}

slipway::base::Result<std::string> drain(BlobStream& stream) {
    std::string all;
    std::array<std::uint8_t, 50'000> buffer{};
    for (;;) {
        TRY_ASSIGN(const auto got, stream.read(buffer));
        if (got == 0) {
            return all;
        }
        all.append(reinterpret_cast<const char*>(buffer.data()), got);
    }
}

slipway::base::Result<std::string> download(const Bench& bench, FetchRequest request,
                                            BlobStream::Expectation expected) {
    TRY_ASSIGN(auto stream, BlobStream::open(bench.context, std::move(request), expected));
    return drain(*stream);
}

class ScriptedAuthorizer : public Authorizer {
  public:
    slipway::base::Result<base::Secret> authorization(const std::stop_token&) override {
        return base::Secret(value);
    }
    slipway::base::Result<bool> challenged(const HttpHead&, const base::Secret&,
                                           const std::stop_token&) override {
        ++challenges;
        value = fmt::format("Bearer token{}", challenges);
        return true;
    }
    std::string value;
    int challenges = 0;
};

} // namespace

TEST_CASE("servers that stumble are asked again") {
    Bench bench;
    std::atomic<int> failures{0};
    HttpServer server([&](const ServerRequest& request, Connection& out) {
        if (failures-- > 0) {
            if (request.target == "/cut") {
                return false;
            }
            return out.reply(503, R"({"errors":[{"code":"X","message":"busy"}]})");
        }
        return out.reply(200, "good");
    });
    SECTION("four 503 in a row are survived") {
        failures = 4;
        auto reply = fetch(bench.context, get(server, "/"), 100);
        REQUIRE(reply);
        CHECK(reply->body == "good");
        CHECK(bench.pauses == std::vector<std::chrono::milliseconds>{1s, 2s, 4s, 8s});
    }
    SECTION("closed connections too") {
        failures = 2;
        CHECK(fetch(bench.context, get(server, "/cut"), 100));
        CHECK(bench.pauses.size() == 2);
    }
    SECTION("five are the end") {
        failures = 99;
        auto reply = fetch(bench.context, get(server, "/"), 100);
        REQUIRE_FALSE(reply);
        CHECK(reply.error().code == Code::source_unreachable);
        CHECK(reply.error().message.find("after 5 attempts") != std::string::npos);
        CHECK(reply.error().message.find("X: busy") != std::string::npos);
        CHECK(server.requests().size() == 5);
    }
    SECTION("a body that is too long is not asked for again") {
        auto reply = fetch(bench.context, get(server, "/"), 3);
        REQUIRE_FALSE(reply);
        CHECK(reply.error().code == Code::limit_exceeded);
        CHECK(server.requests().size() == 1);
    }
}

TEST_CASE("a server that is not there is given up sooner") {
    Bench bench;
    FetchRequest request;
    {
        HttpServer gone([](const ServerRequest&, Connection&) { return false; });
        request = get(gone, "/");
    }
    int noted = 0;
    bench.context.no_connection = [&] { ++noted; };
    SECTION("the only one") {
        auto reply = fetch(bench.context, request, 10);
        REQUIRE_FALSE(reply);
        CHECK(reply.error().message.find("after 3 attempts") != std::string::npos);
        CHECK(bench.pauses.size() == 2);
        CHECK(noted == 3);
    }
    SECTION("where others can be asked") {
        bench.context.retry.others_are_left = true;
        REQUIRE_FALSE(fetch(bench.context, request, 10));
        CHECK(bench.pauses.empty());
        CHECK(noted == 1);
    }
}

TEST_CASE("Retry-After is honoured up to a limit") {
    Bench bench;
    std::atomic<int> count{0};
    std::string retry_after;
    HttpServer server([&](const ServerRequest&, Connection& out) {
        return count++ == 0 ? out.reply(429, R"({"errors":[{"code":"TOOMANYREQUESTS","message":"rate"}]})",
                                        "Retry-After: " + retry_after + "\r\n")
                            : out.reply(200, "ok");
    });
    SECTION("seconds") {
        retry_after = "7";
        CHECK(fetch(bench.context, get(server, "/"), 10));
        CHECK(bench.pauses == std::vector<std::chrono::milliseconds>{7s});
    }
    SECTION("date") {
        retry_after = "Sun, 06 Nov 1994 08:50:07 GMT";
        CHECK(fetch(bench.context, get(server, "/"), 10));
        CHECK(bench.pauses == std::vector<std::chrono::milliseconds>{30s});
    }
    SECTION("too long") {
        retry_after = "3600";
        auto reply = fetch(bench.context, get(server, "/"), 10);
        REQUIRE_FALSE(reply);
        CHECK(reply.error().code == Code::source_rate_limited);
        CHECK(reply.error().one_line().find("TOOMANYREQUESTS: rate") != std::string::npos);
        CHECK(reply.error().hint.find("3600") != std::string::npos);
        CHECK(bench.pauses.empty());
    }
}

TEST_CASE("authorization does not cross origins") {
    Bench bench;
    HttpServer storage([](const ServerRequest& request, Connection& out) {
        return out.reply(200, "[" + request.header("authorization") + "]");
    });
    HttpServer registry([&](const ServerRequest& request, Connection& out) {
        if (request.target == "/away") {
            return out.reply(307, "", "Location: " + storage.url("/blob") + "\r\n");
        }
        if (request.target == "/here") {
            return out.reply(302, "", "Location: /blob\r\n");
        }
        if (request.target == "/loop") {
            return out.reply(302, "", "Location: /loop\r\n");
        }
        return out.reply(200, "[" + request.header("authorization") + "]");
    });
    bench.context.plain_http_ok = [](const Url&) { return true; };
    auto request = get(registry, "/away");
    request.http.authorization = base::Secret("Basic c2VjcmV0");
    request.http.headers.emplace_back("Range", "bytes=5-");
    CHECK(fetch(bench.context, request, 100)->body == "[]");
    CHECK(storage.requests().at(0).header("range") == "bytes=5-");
    request.http.url = *Url::parse(registry.url("/here"));
    CHECK(fetch(bench.context, request, 100)->body == "[Basic c2VjcmV0]");
    request.http.url = *Url::parse(registry.url("/loop"));
    const auto before = registry.requests().size();
    CHECK_FALSE(fetch(bench.context, request, 100));
    CHECK(registry.requests().size() - before == 11);

    bench.context.plain_http_ok = {};
    request.http.url = *Url::parse(registry.url("/away"));
    auto refused = fetch(bench.context, request, 100);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == Code::source_protocol);
    CHECK(refused.error().hint.find("insecure: true") != std::string::npos);
}

TEST_CASE("authorization stays lost when a redirect leads back") {
    Bench bench;
    bench.context.plain_http_ok = [](const Url&) { return true; };
    std::string home;
    HttpServer other([&](const ServerRequest&, Connection& out) {
        return out.reply(302, "", "Location: " + home + "\r\n");
    });
    HttpServer registry([&](const ServerRequest& request, Connection& out) {
        return request.target == "/out" ? out.reply(302, "", "Location: " + other.url("/") + "\r\n")
                                        : out.reply(200, "[" + request.header("authorization") + "]");
    });
    home = registry.url("/admin");
    auto request = get(registry, "/out");
    request.http.authorization = base::Secret("Basic c2VjcmV0");
    CHECK(fetch(bench.context, request, 100)->body == "[]");
}

TEST_CASE("401 loops end") {
    Bench bench;
    std::string accepted;
    HttpServer server([&](const ServerRequest& request, Connection& out) {
        return !accepted.empty() && request.header("authorization") == accepted
                   ? out.reply(200, "in")
                   : out.reply(401, "no", "WWW-Authenticate: Bearer realm=\"x\"\r\n");
    });
    auto authorizer = std::make_shared<ScriptedAuthorizer>();
    auto request = get(server, "/");
    request.authorizer = authorizer;
    SECTION("a token that works") {
        accepted = "Bearer token1";
        CHECK(fetch(bench.context, request, 10)->body == "in");
        CHECK(authorizer->challenges == 1);
    }
    SECTION("tokens that never work") {
        auto reply = fetch(bench.context, request, 10);
        REQUIRE(reply);
        CHECK(reply->head.status == 401);
        CHECK(authorizer->challenges == 2);
        CHECK(server.requests().size() == 3);
    }
}

TEST_CASE("a cut download goes on where it stopped") {
    Bench bench;
    HttpServer server([&](const ServerRequest& request, Connection& out) {
        return send_part(out, range_start(request), 700'000);
    });
    auto got = download(bench, get(server, "/"), {blob().size(), UINT64_MAX, false});
    REQUIRE(got);
    CHECK(*got == blob());
    CHECK(server.requests().size() == 5);
    CHECK(server.requests().at(1).header("range") == "bytes=700000-");
    CHECK(server.requests().at(4).header("range") == "bytes=2800000-");
}

TEST_CASE("servers without proper ranges are read again from the start") {
    Bench bench;
    std::atomic<int> count{0};
    std::string kind;
    HttpServer server([&](const ServerRequest& request, Connection& out) {
        const auto start = range_start(request);
        if (count++ == 0) {
            return send_part(out, 0, 1'500'000);
        }
        if (kind == "ignores" || start == 0) {
            return send_part(out, 0, blob().size());
        }
        if (kind == "416") {
            return out.reply(416, "");
        }
        // "lies": another part than asked for
        return out.send(fmt::format("HTTP/1.1 206 P\r\nContent-Length: 10\r\nContent-Range: bytes "
                                    "{}-{}/{}\r\n\r\n0123456789",
                                    start - 7, start + 2, blob().size()));
    });
    kind = GENERATE(as<std::string>(), "ignores", "416", "lies");
    INFO(kind);
    auto got = download(bench, get(server, "/"), {blob().size(), UINT64_MAX, false});
    REQUIRE(got);
    CHECK(*got == blob());
}

TEST_CASE("blobs of a wrong size are refused") {
    Bench bench;
    SECTION("longer than announced, chunked") {
        HttpServer server([&](const ServerRequest&, Connection& out) {
            out.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            while (out.send("1000\r\n" + std::string(0x1000, 'x') + "\r\n")) {
            }
            return false;
        });
        auto got = download(bench, get(server, "/"), {10'000, UINT64_MAX, false});
        REQUIRE_FALSE(got);
        CHECK(got.error().code == Code::digest_mismatch);
        got = download(bench, get(server, "/"), {std::nullopt, 10'000, false});
        REQUIRE_FALSE(got);
        CHECK(got.error().code == Code::limit_exceeded);
    }
    SECTION("exactly the size, then more") {
        HttpServer server([&](const ServerRequest&, Connection& out) {
            return out.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                            "5\r\nabcde\r\n1\r\nf\r\n0\r\n\r\n");
        });
        auto got = download(bench, get(server, "/"), {5, UINT64_MAX, false});
        REQUIRE_FALSE(got);
        CHECK(got.error().code == Code::digest_mismatch);
    }
    SECTION("a wrong Content-Length, for ever") {
        HttpServer server(
            [&](const ServerRequest&, Connection& out) { return out.reply(200, "12345"); });
        auto got = download(bench, get(server, "/"), {6, UINT64_MAX, false});
        REQUIRE_FALSE(got);
        CHECK(got.error().code == Code::digest_mismatch);
        CHECK(server.requests().size() == 2);
    }
    SECTION("shorter without a length") {
        HttpServer server([&](const ServerRequest&, Connection& out) {
            out.send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n12345");
            return false;
        });
        auto got = download(bench, get(server, "/"), {6, UINT64_MAX, false});
        REQUIRE_FALSE(got);
        CHECK(got.error().code == Code::source_unreachable);
        CHECK(*download(bench, get(server, "/"), {5, UINT64_MAX, false}) == "12345");
        CHECK(*download(bench, get(server, "/"), {std::nullopt, 100, false}) == "12345");
    }
    SECTION("nothing at all") {
        HttpServer server([&](const ServerRequest&, Connection& out) { return out.reply(200, ""); });
        CHECK(download(bench, get(server, "/"), {0, UINT64_MAX, false})->empty());
    }
}

TEST_CASE("a file without a digest must not change under way") {
    Bench bench;
    std::atomic<int> count{0};
    HttpServer server([&](const ServerRequest&, Connection& out) {
        const int now = count++;
        out.send(fmt::format("HTTP/1.1 200 OK\r\nETag: \"v{}\"\r\nContent-Length: 10\r\n\r\n{}", now,
                             now == 0 ? "01234" : "0123456789"));
        return now != 0;
    });
    auto got = download(bench, get(server, "/"), {std::nullopt, 100, true});
    REQUIRE_FALSE(got);
    CHECK(got.error().message.find("changed") != std::string::npos);
    CHECK(server.requests().at(1).header("if-range") == "\"v0\"");
}

TEST_CASE("a stalled download is cut and resumed") {
    Bench bench;
    std::atomic<int> count{0};
    HttpServer server([&](const ServerRequest& request, Connection& out) {
        const auto start = range_start(request);
        if (count++ == 0) {
            send_part(out, 0, 1'200'000);
            std::this_thread::sleep_for(2500ms);
            return false;
        }
        return send_part(out, start, blob().size() - start);
    });
    auto got = download(bench, get(server, "/"), {blob().size(), UINT64_MAX, false});
    REQUIRE(got);
    CHECK(*got == blob());
    CHECK(server.requests().size() == 2);
}

TEST_CASE("errors of a blob come from open") {
    Bench bench;
    HttpServer server([&](const ServerRequest&, Connection& out) {
        return out.reply(404, R"({"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown"}]})");
    });
    auto stream = BlobStream::open(bench.context, get(server, "/x"), {});
    REQUIRE_FALSE(stream);
    CHECK(stream.error().code == Code::source_not_found);
    CHECK(stream.error().message.find("BLOB_UNKNOWN: blob unknown") != std::string::npos);
}
