// SPDX-License-Identifier: Apache-2.0
// The service over its real socket, with a staging function that the test controls.
#include "prefetch/service/server.hpp"

#include "base/temp_dir.hpp"

#include <catch2/catch.hpp>
#include <cstring>
#include <future>
#include <mutex>
#include <sys/socket.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>

using namespace slipway;
using namespace slipway::prefetch;
using namespace slipway::prefetch::service;
using namespace std::chrono_literals;

namespace {

struct Running {
    base::TempDir dir;
    std::string socket_path;
    std::mutex mutex;
    std::atomic<int> calls{0};
    std::atomic<bool> open_gate{true};
    std::unique_ptr<Server> server;
    std::thread thread;

    explicit Running(ServerOptions options = {}) {
        auto made = base::TempDir::create("slipway-service-");
        REQUIRE(made);
        dir = std::move(*made);
        socket_path = dir.path() + "/s";
        options.socket_path = socket_path;
        auto opened = store::Store::open({.path = dir.path() + "/store"});
        REQUIRE(opened);
        server = std::make_unique<Server>(
            std::move(options), std::move(*opened),
            [this](const StageRequest& request, const ProgressSink& sink,
                   const std::atomic<bool>& cancel) -> base::Result<StagedImage> {
                ++calls;
                sink({Phase::resolving, 0, 0, {}});
                while (!open_gate && !cancel) {
                    ::usleep(1000);
                }
                if (cancel) {
                    return base::fail(base::Code::interrupted, "cancelled");
                }
                if (request.reference == "missing") {
                    return base::fail(base::Code::source_not_found, "no such image", "check it");
                }
                StagedImage image;
                image.path = "/store/" + request.reference;
                image.digest = "sha256:0";
                return image;
            });
        REQUIRE(server->listen());
        std::promise<void> up;
        thread = std::thread([this, &up] { server->run([&up] { up.set_value(); }, {}); });
        up.get_future().wait();
    }
    ~Running() {
        open_gate = true;
        server->stop();
        thread.join();
    }

    base::UniqueFd connect() const {
        base::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::memcpy(address.sun_path, socket_path.c_str(), socket_path.size() + 1);
        REQUIRE(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
        timeval limit{5, 0};
        ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        return fd;
    }
    /// Sends text and reads until the service closes or `until` has been seen.
    static std::string talk(int fd, const std::string& text, const std::string& until = {}) {
        (void)!::send(fd, text.data(), text.size(), MSG_NOSIGNAL);
        std::string all;
        char chunk[4096];
        for (;;) {
            const auto got = ::recv(fd, chunk, sizeof chunk, 0);
            if (got <= 0) {
                return all;
            }
            all.append(chunk, static_cast<std::size_t>(got));
            if (!until.empty() && all.find(until) != std::string::npos) {
                return all;
            }
        }
    }
    std::string ask(const std::string& text) const {
        const auto fd = connect();
        return talk(fd.get(), text);
    }
    static std::string post(const std::string& body, const std::string& extra = "Connection: close\r\n") {
        return "POST /v1/images HTTP/1.1\r\nHost: x\r\nSlipway-Api: 1\r\n" + extra +
               "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
    }
    static std::string get(const std::string& target) {
        return "GET " + target + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    }
};

std::string id_in(const std::string& reply) {
    const auto at = reply.find("\"id\":\"");
    REQUIRE(at != std::string::npos);
    return reply.substr(at + 6, 32);
}

} // namespace

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
    CHECK(rest.find(R"("event":"ready","path":"/store/a")") != std::string::npos);
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

TEST_CASE("idle connections over the limit are told so and the others go on") {
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
    CHECK(service.ask("").starts_with("HTTP/1.1 503"));
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
