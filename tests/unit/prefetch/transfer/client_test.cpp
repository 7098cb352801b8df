// SPDX-License-Identifier: Apache-2.0
#include "base/words.hpp"
#include "prefetch/transfer/client.hpp"
#include "tests/support/http_server.hpp"

#include <catch2/catch.hpp>

#include <array>
#include <atomic>
#include <thread>

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

using namespace slipway;
using namespace slipway::prefetch::transfer;
using namespace std::chrono_literals;
using slipway::base::Code;
using slipway::test::Connection;
using slipway::test::HttpServer;
using slipway::test::ServerRequest;

namespace {

std::shared_ptr<HttpClient> make_client(AddressPolicy addresses = {}) {
    HttpClient::Options options;
    options.addresses = std::move(addresses);
    options.environment = [](const std::string&) { return std::string(); };
    auto client = HttpClient::create(std::move(options));
    REQUIRE(client);
    return *client;
}

HttpRequest request_for(const std::string& url) {
    HttpRequest request;
    request.url = *Url::parse(url);
    request.connect_timeout = 2s;
    request.idle_timeout = 1s;
    return request;
}

std::string read_all(Exchange& exchange) {
    std::string body;
    std::array<std::uint8_t, 4096> buffer{};
    for (;;) {
        auto got = exchange.read(buffer);
        REQUIRE(got);
        if (*got == 0) {
            return body;
        }
        body.append(reinterpret_cast<const char*>(buffer.data()), *got);
    }
}

} // namespace

TEST_CASE("an exchange gives head and body") {
    HttpServer server([](const ServerRequest& request, Connection& out) {
        return out.reply(200, request.method + " " + request.target + " " + request.body,
                         "X-Thing: a\r\nX-Thing: b\r\n");
    });
    auto client = make_client();
    auto request = request_for(server.url("/x?y=z"));
    request.authorization = base::Secret("Basic abc");
    request.headers.emplace_back("Accept", "text/plain");
    auto exchange = client->open(request, {});
    auto head = exchange->head();
    REQUIRE(head);
    CHECK(head->status == 200);
    CHECK(head->headers.all("x-thing") == std::vector<std::string>{"a", "b"});
    CHECK(head->peer == AddressKind::loopback);
    CHECK_FALSE(head->proxied);
    CHECK(read_all(*exchange) == "GET /x?y=z ");

    request.method = "POST";
    request.body = base::Secret("form=1");
    exchange = client->open(request, {});
    CHECK(read_all(*exchange) == "POST /x?y=z form=1");
    request.method = "HEAD";
    exchange = client->open(request, {});
    CHECK(exchange->head());
    const auto seen = server.requests();
    CHECK(seen.at(0).header("authorization") == "Basic abc");
    CHECK(seen.at(0).header("accept") == "text/plain");
    CHECK(seen.at(0).header("accept-encoding").empty());
}

TEST_CASE("a slow reader slows the server down") {
    constexpr std::size_t total = 64 << 20;
    std::atomic<std::size_t> sent{0};
    HttpServer server([&](const ServerRequest&, Connection& out) {
        const std::string block(64 * 1024, 'x');
        if (!out.send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(total) + "\r\n\r\n")) {
            return false;
        }
        while (sent < total && out.send(block)) {
            sent += block.size();
        }
        return sent == total;
    });
    auto client = make_client();
    auto exchange = client->open(request_for(server.url("/")), {});
    REQUIRE(exchange->head());
    std::this_thread::sleep_for(1500ms); // longer than idle_timeout: waiting for us is not idling
    // What is under way: our queue, libcurl's buffer, and the kernel's socket buffers.
    CHECK(sent < (16U << 20));
    CHECK(read_all(*exchange).size() == total);
}

TEST_CASE("failures say what happened and whether to try again") {
    auto client = make_client();
    SECTION("nobody listens") {
        std::string dead;
        {
            HttpServer gone([](const ServerRequest&, Connection&) { return false; });
            dead = gone.url("/");
        }
        auto exchange = client->open(request_for(dead), {});
        auto head = exchange->head();
        REQUIRE_FALSE(head);
        CHECK(head.error().code == Code::source_unreachable);
        CHECK(exchange->failure().transient);
        CHECK(exchange->failure().never_connected);
    }
    SECTION("no answer") {
        HttpServer server([](const ServerRequest&, Connection&) {
            std::this_thread::sleep_for(3s);
            return false;
        });
        auto exchange = client->open(request_for(server.url("/")), {});
        auto head = exchange->head();
        REQUIRE_FALSE(head);
        CHECK(head.error().code == Code::timed_out);
        CHECK(exchange->failure().transient);
    }
    SECTION("a cut body") {
        HttpServer server([](const ServerRequest&, Connection& out) {
            out.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n12345");
            return false;
        });
        auto exchange = client->open(request_for(server.url("/")), {});
        REQUIRE(exchange->head());
        std::array<std::uint8_t, 64> buffer{};
        CHECK(exchange->read(buffer).value_or(0) == 5);
        auto more = exchange->read(buffer);
        REQUIRE_FALSE(more);
        CHECK(more.error().code == Code::source_unreachable);
        CHECK(exchange->failure().transient);
    }
}

TEST_CASE("the resolver is asked whether a name may be known later") {
    HttpClient::Options options;
    options.environment = [](const std::string&) { return std::string(); };
    bool later = false;
    std::string asked;
    options.may_resolve_later = [&](const std::string& host) {
        asked = host;
        return later;
    };
    auto client = HttpClient::create(std::move(options));
    REQUIRE(client);
    auto exchange = (*client)->open(request_for("http://no-such-host.invalid/"), {});
    REQUIRE_FALSE(exchange->head());
    // A resolver that is slow to say no has said nothing about the name.
    if (!exchange->failure().unresolved.empty()) {
        CHECK_FALSE(exchange->failure().transient);
        CHECK(asked == "no-such-host.invalid");
        later = true;
    }
    CHECK(exchange->failure().transient);
    CHECK(exchange->failure().never_connected);
    CHECK(may_resolve_later("localhost"));
}

TEST_CASE("a server that speaks no TLS is asked once") {
    base::UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    REQUIRE(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), length) == 0);
    REQUIRE(::listen(listener.get(), 1) == 0);
    REQUIRE(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &length) == 0);
    std::thread plain([&] {
        const base::UniqueFd peer(::accept(listener.get(), nullptr, nullptr));
        std::array<char, 512> hello{};
        (void)!::read(peer.get(), hello.data(), hello.size());
        (void)base::write_all(peer.get(), "HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    auto client = make_client();
    const auto port = std::to_string(ntohs(address.sin_port));
    auto exchange = client->open(request_for("https://127.0.0.1:" + port + "/"), {});
    auto head = exchange->head();
    plain.join();
    REQUIRE_FALSE(head);
    INFO(head.error().one_line());
    CHECK_FALSE(exchange->failure().transient);
    CHECK(head.error().hint.find("insecure: true") != std::string::npos);
}

TEST_CASE("headers that make no sense are an error, in both directions") {
    auto client = make_client();
    SECTION("not HTTP") {
        HttpServer server([](const ServerRequest&, Connection& out) {
            out.send("SSH-2.0-OpenSSH\r\n\r\n");
            return false;
        });
        auto exchange = client->open(request_for(server.url("/")), {});
        CHECK_FALSE(exchange->head());
        CHECK_FALSE(exchange->failure().transient);
    }
    SECTION("headers without end") {
        HttpServer server([](const ServerRequest&, Connection& out) {
            out.send("HTTP/1.1 200 OK\r\n");
            while (out.send("X: " + std::string(4000, 'x') + "\r\n")) {
            }
            return false;
        });
        auto exchange = client->open(request_for(server.url("/")), {});
        auto head = exchange->head();
        REQUIRE_FALSE(head);
        CHECK(head.error().code == Code::limit_exceeded);
    }
    SECTION("a header that would break out of its line") {
        auto request = request_for("http://127.0.0.1:1/");
        request.authorization = base::Secret("Basic x\r\nHost: evil");
        auto exchange = client->open(request, {});
        CHECK_FALSE(exchange->head());
    }
}

TEST_CASE("private addresses are refused where only public ones are wanted") {
    HttpServer server([](const ServerRequest&, Connection& out) { return out.reply(200, "secret"); });
    const auto port = std::to_string(server.port());
    SECTION("by literal and by name") {
        auto client = make_client({true, {}});
        for (const auto& host : {"127.0.0.1", "localhost", "127.1", "0.0.0.0"}) {
            auto exchange = client->open(request_for("http://" + std::string(host) + ":" + port + "/"), {});
            auto head = exchange->head();
            INFO(host);
            REQUIRE_FALSE(head);
            CHECK(head.error().code == Code::source_denied);
            CHECK_FALSE(exchange->failure().transient);
        }
        CHECK(server.requests().empty());
    }
    SECTION("a name that leads there looks like one that does not exist") {
        std::array<char, 256> name{};
        ::gethostname(name.data(), name.size() - 1);
        const auto failure_of = [&](const std::string& host) {
            auto client = make_client({true, {}});
            auto exchange = client->open(request_for("http://" + host + ":" + port + "/"), {});
            CHECK_FALSE(exchange->head());
            auto failure = exchange->failure();
            const auto at = failure.error.message.find(host);
            REQUIRE(at != std::string::npos);
            failure.error.message.replace(at, host.size(), "HOST");
            return failure;
        };
        const auto unknown = failure_of("no-such-host.invalid");
        CHECK(unknown.error.code == Code::source_unreachable);
        // Where the host's own name leads to an address of the site, as it mostly does.
        const auto inside = failure_of(base::to_lower(name.data()));
        CHECK(inside.error.one_line() == unknown.error.one_line());
        CHECK(inside.transient == unknown.transient);
        CHECK(inside.never_connected == unknown.never_connected);
        CHECK(server.requests().empty());
    }
    SECTION("configured hosts are let through") {
        auto client = make_client({true, {"127.0.0.1:" + port}});
        CHECK(client->open(request_for(server.url("/")), {})->head());
    }
    SECTION("for one exchange") {
        auto client = make_client();
        auto request = request_for(server.url("/"));
        CHECK(client->open(request, {})->head());
        request.public_only = true;
        CHECK_FALSE(client->open(request, {})->head());
    }
}

TEST_CASE("waiting ends when stop is requested") {
    HttpServer server([](const ServerRequest&, Connection&) {
        std::this_thread::sleep_for(800ms);
        return false;
    });
    auto client = make_client();
    std::stop_source stop;
    auto exchange = client->open(request_for(server.url("/")), stop.get_token());
    std::thread stopper([&] {
        std::this_thread::sleep_for(50ms);
        stop.request_stop();
    });
    const auto begin = std::chrono::steady_clock::now();
    auto head = exchange->head();
    CHECK(std::chrono::steady_clock::now() - begin < 500ms);
    stopper.join();
    REQUIRE_FALSE(head);
    CHECK(head.error().code == Code::interrupted);
}

TEST_CASE("many exchanges run at once") {
    HttpServer server([](const ServerRequest& request, Connection& out) {
        return out.reply(200, request.target);
    });
    auto client = make_client();
    std::vector<std::unique_ptr<Exchange>> open;
    for (int i = 0; i < 50; ++i) {
        open.push_back(client->open(request_for(server.url("/" + std::to_string(i))), {}));
    }
    for (std::size_t i = 0; i < open.size(); ++i) {
        REQUIRE(open[i]->head());
        CHECK(read_all(*open[i]) == "/" + std::to_string(i));
    }
}

TEST_CASE("a client that goes fails what is open") {
    HttpServer server([](const ServerRequest&, Connection&) {
        std::this_thread::sleep_for(300ms);
        return false;
    });
    auto client = make_client();
    auto exchange = client->open(request_for(server.url("/")), {});
    client.reset();
    auto head = exchange->head();
    REQUIRE_FALSE(head);
    CHECK(head.error().code == Code::interrupted);
}

TEST_CASE("a proxy is used and TLS targets go through CONNECT") {
    HttpServer proxy([](const ServerRequest& request, Connection& out) {
        return request.method == "CONNECT" ? out.reply(403, "no") : out.reply(200, request.target);
    });
    HttpClient::Options options;
    const auto address = "http://127.0.0.1:" + std::to_string(proxy.port());
    options.environment = [address](const std::string& name) {
        return name == "http_proxy" || name == "https_proxy" ? address : std::string();
    };
    options.addresses.public_only = true; // the proxy itself may be anywhere
    auto client = *HttpClient::create(std::move(options));
    auto exchange = client->open(request_for("http://registry.example/v2/"), {});
    auto head = exchange->head();
    REQUIRE(head);
    CHECK(head->proxied);
    CHECK(read_all(*exchange) == "http://registry.example/v2/");

    auto request = request_for("https://registry.example/v2/");
    request.authorization = base::Secret("Bearer secret");
    CHECK_FALSE(client->open(request, {})->head());
    for (const auto& seen : proxy.requests()) {
        CHECK(seen.header("authorization").empty());
    }
    CHECK_FALSE(client->open(request_for("http://10.0.0.1/"), {})->head());
}
