// SPDX-License-Identifier: Apache-2.0
// The client against a real service.
#include "running_service.hpp"

#include "prefetch/client/service_client.hpp"
#include "prefetch/client/unix_http.hpp"
#include "prefetch/stage/progress_printer.hpp"

#include <cerrno>

#include <sys/stat.h>
#include <unistd.h>

using namespace slipway;
using namespace slipway::test;
namespace client = prefetch::client;

namespace {

const std::stop_token never;

client::ServiceCall call_for(const std::string& socket, const std::string& reference) {
    client::ServiceCall call;
    call.socket_path = socket;
    call.request.reference = reference;
    call.reconnect_s = 10;
    return call;
}

} // namespace

TEST_CASE("the client gets an image, sees progress, and is answered at once the second time") {
    Running service;
    std::vector<Phase> phases;
    const auto sink = [&](const StageProgress& progress) { phases.push_back(progress.phase); };
    const auto image = client::stage_through_service(call_for(service.socket_path, "a"), sink, never);
    REQUIRE(image);
    CHECK(image->path == service.image_path("a"));
    CHECK(image->digest == "sha256:0");
    const auto again = client::stage_through_service(call_for(service.socket_path, "a"), sink, never);
    REQUIRE(again);
    CHECK_FALSE(image->was_present);
    CHECK(again->was_present);
    CHECK(service.calls == 1);
}

TEST_CASE("the service's errors come through whole") {
    Running service;
    const auto image =
        client::stage_through_service(call_for(service.socket_path, "missing"), [](auto&&) {}, never);
    REQUIRE_FALSE(image);
    CHECK(image.error().code == base::Code::source_not_found);
    CHECK(image.error().message == "no such image");
    CHECK(image.error().hint == "check it");
}

namespace {

/// A listening socket of another user; only root can make one.
base::UniqueFd listen_as(uid_t uid, const std::string& path) {
    base::UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    REQUIRE(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::seteuid(uid) == 0); // the kernel notes whoever calls listen(2)
    const int listening = ::listen(socket.get(), 1);
    REQUIRE(::seteuid(0) == 0);
    REQUIRE(listening == 0);
    return socket;
}

} // namespace

TEST_CASE("a service is known by a directory that nobody else can have put there") {
    if (::geteuid() != 0) {
        WARN("only root can listen as somebody else");
        return;
    }
    constexpr uid_t service = 4242;
    auto dir = base::TempDir::create("slipway-client-");
    REQUIRE(::chmod(dir->path().c_str(), 0755) == 0);
    const auto home = dir->path() + "/run";
    REQUIRE(::mkdir(home.c_str(), 0755) == 0);
    REQUIRE(::chown(home.c_str(), service, service) == 0);
    const auto path = home + "/s";
    const auto listener = listen_as(service, path);
    const auto http = client::UnixHttp::connect(path, 1000);
    REQUIRE(http);
    CHECK(client::check_server(*http, path, ""));
    // In a directory where everybody can rename, it may be anybody's.
    REQUIRE(::chmod(dir->path().c_str(), 0777) == 0);
    const auto unsure = client::check_server(*http, path, "");
    REQUIRE_FALSE(unsure);
    CHECK(unsure.error().code == base::Code::config_insecure);
    CHECK_FALSE(client::check_server(*http, "/tmp/s", home));
    REQUIRE(::chmod(dir->path().c_str(), 0755) == 0);
    CHECK(client::check_server(*http, "/tmp/s", home)); // the owner of the store
    CHECK_FALSE(client::check_server(*http, "/tmp/s", dir->path()));
}

TEST_CASE("no socket, no listener and no permission are different errors") {
    auto dir = base::TempDir::create("slipway-client-");
    const auto none = client::stage_through_service(call_for(dir->path() + "/none", "a"),
                                                    [](auto&&) {}, never);
    REQUIRE_FALSE(none);
    CHECK(none.error().code == base::Code::service_unreachable);
    CHECK(none.error().sys_errno == ENOENT);
    CHECK_FALSE(none.error().hint.empty());

    base::UniqueFd dead(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const auto path = dir->path() + "/dead";
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    REQUIRE(::bind(dead.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    dead.reset();
    auto call = call_for(path, "a");
    call.reconnect_s = 1;
    int pauses = 0;
    const auto down = client::stage_through_service(call, [&](auto&&) { ++pauses; }, never);
    REQUIRE_FALSE(down);
    CHECK(down.error().sys_errno == ECONNREFUSED);
    CHECK(pauses == 2);
}

TEST_CASE("a service that restarts in the middle is a pause") {
    auto dir = base::TempDir::create("slipway-client-");
    const auto socket = dir->path() + "/s";
    auto first = std::make_unique<Running>(ServerOptions{}, socket);
    first->open_gate = false;
    std::atomic<bool> asked{false};
    auto answer = std::async(std::launch::async, [&] {
        return client::stage_through_service(
            call_for(socket, "a"),
            [&](const StageProgress& progress) {
                asked = asked || progress.phase == Phase::resolving;
            },
            never);
    });
    while (!asked) {
        ::usleep(1000);
    }
    first.reset(); // stops: open listeners get the event that the work was cancelled, or lose their line
    Running second({}, socket);
    const auto image = answer.get();
    REQUIRE(image);
    CHECK(image->path == second.image_path("a"));
    CHECK(second.calls == 1);
}

TEST_CASE("progress reads well") {
    CHECK(progress_text({Phase::queued, 3, 0, {}}, 0) == "queued, place 3");
    CHECK(progress_text({Phase::downloading, 1U << 30U, 2ULL << 30U, {}}, 10) ==
          "downloading 1.0 GiB of 2.0 GiB (50 %), 10 s left");
    CHECK(progress_text({Phase::downloading, 5, 0, {}}, 10) == "downloading 5 B");
    CHECK(progress_text({Phase::waiting, 0, 0, "node1 pid\x1b 7"}, 0) ==
          "waiting for node1 pid\\x1b 7");
    CHECK(seconds_text(65) == "1 m 05 s");
    CHECK(seconds_text(7300) == "2 h 01 m");
}

TEST_CASE("an image that goes between two asks is staged again for the client") {
    Running service;
    const auto call = call_for(service.socket_path, "a");
    REQUIRE(client::stage_through_service(call, [](auto&&) {}, never));
    REQUIRE(::unlink(service.image_path("a").c_str()) == 0);
    const auto again = client::stage_through_service(call, [](auto&&) {}, never);
    REQUIRE(again);
    CHECK(service.calls == 2);
    CHECK(::access(again->path.c_str(), F_OK) == 0);
}
