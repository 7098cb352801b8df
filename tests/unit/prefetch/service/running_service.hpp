// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "prefetch/service/server.hpp"

#include "base/temp_dir.hpp"
#include "image/digest.hpp"

#include <atomic>
#include <cstring>
#include <fstream>
#include <future>
#include <memory>
#include <new>
#include <string>
#include <thread>

#include <catch2/catch.hpp>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace slipway::test {

using namespace slipway::prefetch::stage;
using namespace slipway::prefetch::service;

/// The service on a real socket, with a staging function that the test controls: it counts calls,
/// waits for `open_gate`, puts a file into the store, fails for the reference "missing" and throws
/// for "no-memory".
struct Running {
    base::TempDir dir;
    std::string socket_path;
    std::atomic<int> calls{0};
    std::atomic<bool> open_gate{true};
    std::unique_ptr<Server> server;
    std::thread thread;

    explicit Running(ServerOptions options = {}, const std::string& at = {}) {
        auto made = base::TempDir::create("slipway-service-");
        REQUIRE(made);
        dir = std::move(*made);
        socket_path = at.empty() ? dir.path() + "/s" : at;
        options.socket_path = socket_path;
        auto opened = store::Store::open({.path = dir.path() + "/store"});
        REQUIRE(opened);
        server = std::make_unique<Server>(
            std::move(options), std::move(*opened),
            [this](const StageRequest& request, const StageSink& sink,
                   std::stop_token stop) -> base::Result<StagedImage> {
                ++calls;
                sink({Phase::resolving, 0, 0, {}});
                while (!open_gate && !stop.stop_requested()) {
                    ::usleep(1000);
                }
                if (stop.stop_requested()) {
                    return base::fail(base::Code::interrupted, "cancelled");
                }
                if (request.reference == "missing") {
                    return base::fail(base::Code::source_not_found, "no such image", "check it");
                }
                if (request.reference == "no-memory") {
                    throw std::bad_alloc();
                }
                StagedImage image;
                image.id = image::sha256_hex(request.reference);
                image.path = image_path(request.reference);
                image.digest = "sha256:0";
                std::ofstream(image.path) << "SIF";
                return image;
            });
        REQUIRE(server->listen());
        std::promise<void> up;
        thread = std::thread([this, &up] { server->run([&up] { up.set_value(); }, {}); });
        up.get_future().wait();
    }
    ~Running() {
        server->stop(); // ends work behind a closed gate by its stop token, as a real stop does
        thread.join();
    }

    [[nodiscard]] std::string image_path(const std::string& reference) const {
        return dir.path() + "/store/images/" + image::sha256_hex(reference) + ".sif";
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

inline std::string id_in(const std::string& reply) {
    const auto at = reply.find("\"id\":\"");
    REQUIRE(at != std::string::npos);
    return reply.substr(at + 6, 32);
}

} // namespace slipway::test
