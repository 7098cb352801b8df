// SPDX-License-Identifier: Apache-2.0
// The service over its real socket.
#include "running_service.hpp"

#include <sys/stat.h>

using namespace slipway;
using namespace slipway::test;
using namespace std::chrono_literals;

TEST_CASE("an image is asked for, followed and answered from memory afterwards") {
    Running service;
    service.open_gate = false;
    const auto first = service.ask(Running::post(R"({"reference":"a"})"));
    CHECK(first.starts_with("HTTP/1.1 202"));
    const auto fd = service.connect();
    const auto begun =
        Running::talk(fd.get(), Running::get("/v1/images/" + id_in(first) + "/events"), "resolving");
    CHECK(begun.find("Transfer-Encoding: chunked") != std::string::npos);
    service.open_gate = true;
    const auto rest = Running::talk(fd.get(), "");
    CHECK(rest.find(R"("event":"ready","path":")" + service.image_path("a")) != std::string::npos);
    CHECK(rest.ends_with("0\r\n\r\n"));
    const auto again = service.ask(Running::post(R"({"reference":"a"})"));
    CHECK(again.starts_with("HTTP/1.1 200"));
    CHECK(service.calls == 1);
}

TEST_CASE("a failure reaches everybody who waits, with code and hint") {
    Running service;
    const auto reply = service.ask(Running::post(R"({"reference":"missing"})"));
    const auto events = service.ask(Running::get("/v1/images/" + id_in(reply) + "/events"));
    CHECK(events.find(R"("code":"source-not-found")") != std::string::npos);
    CHECK(events.find(R"("hint":"check it")") != std::string::npos);
}

TEST_CASE("many listeners of one image, one piece of work") {
    Running service;
    service.open_gate = false;
    std::vector<base::UniqueFd> fds;
    const auto id = id_in(service.ask(Running::post(R"({"reference":"a"})")));
    const auto request = Running::get("/v1/images/" + id + "/events");
    for (int i = 0; i < 200; ++i) {
        fds.push_back(service.connect());
        (void)!::send(fds.back().get(), request.data(), request.size(), MSG_NOSIGNAL);
    }
    service.open_gate = true;
    for (const auto& fd : fds) {
        CHECK(Running::talk(fd.get(), "").find("\"event\":\"ready\"") != std::string::npos);
    }
    CHECK(service.calls == 1);
}

TEST_CASE("bad requests are refused one by one and harm nobody else") {
    ServerOptions options;
    options.session.request_timeout = 1s;
    Running service(options);
    CHECK(service.ask("garbage\r\n\r\n").starts_with("HTTP/1.1 400"));
    CHECK(service.ask(Running::get("/v1/images/00000000000000000000000000000000"))
              .starts_with("HTTP/1.1 404"));
    CHECK(service.ask(Running::get("/etc/passwd")).starts_with("HTTP/1.1 404"));
    CHECK(service.ask("POST /v1/images HTTP/1.1\r\nContent-Length: 999999999\r\n\r\n")
              .starts_with("HTTP/1.1 413"));
    CHECK(service.ask("GET / HTTP/1.1\r\nX: " + std::string(100000, 'x') + "\r\n\r\n")
              .starts_with("HTTP/1.1 413"));
    CHECK(service.ask("POST /v1/images HTTP/1.1\r\nSlipway-Api: 99\r\nConnection: close\r\n"
                      "Content-Length: 2\r\n\r\n{}")
              .find("service-protocol") != std::string::npos);
    CHECK(service.ask(Running::post(R"({"reference":"a","uid":0})")).starts_with("HTTP/1.1 400"));
    // A chunk's extensions count as well: what is kept of an unfinished request is bounded.
    CHECK(service.ask("POST /v1/images HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;" +
                      std::string(100000, 'x'))
              .starts_with("HTTP/1.1 413"));
    // A slow-loris is cut off after the time for one request, and does not hold up others.
    const auto loris = service.connect();
    (void)!::send(loris.get(), "GET /healthz HT", 15, MSG_NOSIGNAL);
    CHECK(service.ask(Running::get("/healthz")).find("ok") != std::string::npos);
    CHECK(Running::talk(loris.get(), "").empty());
}

TEST_CASE("two requests on one connection are answered in order") {
    Running service;
    const auto fd = service.connect();
    const auto all = Running::talk(fd.get(), "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" +
                                                 Running::get("/metrics"));
    const auto health = all.find("ok\n");
    const auto metrics = all.find("slipway_requests_total 2");
    CHECK(health != std::string::npos);
    CHECK(metrics != std::string::npos);
    CHECK(health < metrics);
}

TEST_CASE("idle connections over the limit get an answer that says so, and the others go on") {
    ServerOptions options;
    options.max_connections = 50;
    Running service(options);
    std::vector<base::UniqueFd> idle;
    for (int i = 0; i < 49; ++i) {
        idle.push_back(service.connect());
    }
    const auto last = service.connect();
    CHECK(Running::talk(last.get(), Running::get("/healthz")).find("ok") != std::string::npos);
    idle.push_back(service.connect());
    ::usleep(50000);
    const auto refused = service.ask("");
    CHECK(refused.starts_with("HTTP/1.1 503"));
    CHECK(refused.find("service-busy") != std::string::npos);
}

TEST_CASE("work is cancelled when the last listener has gone, and on stop") {
    ServerOptions options;
    options.table.interest_ttl = 1s;
    Running service(options);
    service.open_gate = false;
    {
        const auto id = id_in(service.ask(Running::post(R"({"reference":"a"})")));
        const auto fd = service.connect();
        (void)Running::talk(fd.get(), Running::get("/v1/images/" + id + "/events"), "resolving");
        ::usleep(1500000);
        CHECK(service.ask(Running::get("/v1/images/" + id)).find("running") != std::string::npos);
    }
    ::usleep(3500000);
    CHECK(service.ask(Running::get("/metrics")).find("slipway_images_failed_total 1") !=
          std::string::npos);
}

TEST_CASE("a second service on a live socket is refused, a dead socket file is replaced") {
    std::string path;
    {
        Running service;
        path = service.socket_path;
        ServerOptions options;
        options.socket_path = path;
        auto opened = store::Store::open({.path = service.dir.path() + "/store"});
        Server second(options, std::move(*opened), {});
        const auto refused = second.listen();
        REQUIRE_FALSE(refused);
        CHECK(refused.error().code == base::Code::service_busy);
        CHECK(service.ask(Running::get("/healthz")).find("ok") != std::string::npos);
    }
    CHECK(::access(path.c_str(), F_OK) != 0);
}

TEST_CASE("an image that was removed is staged again, however it went and whoever asks") {
    Running service;
    const auto body = Running::post(R"({"reference":"docker://x/a@sha256:1"})");
    const auto path = service.image_path("docker://x/a@sha256:1");
    (void)service.ask(Running::get("/v1/images/" + id_in(service.ask(body)) + "/events"));
    const auto remembered = service.ask(body);
    REQUIRE(remembered.starts_with("HTTP/1.1 200"));
    REQUIRE(::unlink(path.c_str()) == 0);
    // Neither the work, nor its events, nor the listing name what is not there.
    CHECK(service.ask(Running::get("/v1/images/" + id_in(remembered))).starts_with("HTTP/1.1 404"));
    REQUIRE(service.ask(body).starts_with("HTTP/1.1 202"));
    (void)service.ask(Running::get("/v1/images/" + id_in(service.ask(body)) + "/events"));
    CHECK(service.calls == 2);
    const auto again = service.ask(body);
    REQUIRE(again.starts_with("HTTP/1.1 200"));
    CHECK(::access(path.c_str(), F_OK) == 0);
    REQUIRE(::unlink(path.c_str()) == 0);
    CHECK(service.ask(Running::get("/v1/images")).find("\"state\":\"ready\"") == std::string::npos);
    CHECK(service.ask(Running::get("/v1/images/" + id_in(again) + "/events"))
              .starts_with("HTTP/1.1 404"));
    CHECK(service.ask(body).starts_with("HTTP/1.1 202"));
}

TEST_CASE("what runs out of memory is one user's error and nobody else's end") {
    Running service;
    const auto reply = service.ask(Running::post(R"({"reference":"no-memory"})"));
    const auto events = service.ask(Running::get("/v1/images/" + id_in(reply) + "/events"));
    CHECK(events.find(R"("code":"internal")") != std::string::npos);
    CHECK(service.ask(Running::get("/healthz")).find("ok") != std::string::npos);
    (void)service.ask(Running::get(
        "/v1/images/" + id_in(service.ask(Running::post(R"({"reference":"a"})"))) + "/events"));
    CHECK(service.ask(Running::post(R"({"reference":"a"})")).starts_with("HTTP/1.1 200"));
}

TEST_CASE("paths and methods that get different answers, and a parameter means what it says") {
    Running service;
    const auto unknown = service.ask(Running::get("/v2/images"));
    CHECK(unknown.starts_with("HTTP/1.1 404"));
    CHECK(unknown.find("service-protocol") != std::string::npos);
    CHECK(service.ask("PUT /v1/images HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
              .starts_with("HTTP/1.1 405"));
    const auto id = image::sha256_hex("a");
    (void)service.ask(Running::get(
        "/v1/images/" + id_in(service.ask(Running::post(R"({"reference":"a"})"))) + "/events"));
    (void)service.ask(Running::post(R"({"reference":"a"})")); // grants it
    const auto remove = [&](const std::string& query) {
        return service.ask("DELETE /v1/images/" + id + query +
                           " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    };
    CHECK_FALSE(remove("?force=0").starts_with("HTTP/1.1 200"));
    CHECK_FALSE(remove("").starts_with("HTTP/1.1 200"));
    CHECK(remove("?farce=1").starts_with("HTTP/1.1 400"));
    CHECK(::access(service.image_path("a").c_str(), F_OK) == 0);
    CHECK(remove("?force=1").starts_with("HTTP/1.1 200"));
    CHECK(::access(service.image_path("a").c_str(), F_OK) != 0);
}

TEST_CASE("a socket that others could replace is not opened") {
    auto dir = base::TempDir::create("slipway-service-");
    REQUIRE(dir);
    REQUIRE(::mkdir((dir->path() + "/open").c_str(), 0777) == 0);
    REQUIRE(::chmod((dir->path() + "/open").c_str(), 0777) == 0);
    ServerOptions options;
    options.socket_path = dir->path() + "/open/s";
    auto opened = store::Store::open({.path = dir->path() + "/store"});
    Server server(options, std::move(*opened), {});
    const auto refused = server.listen();
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == base::Code::config_insecure);
}
