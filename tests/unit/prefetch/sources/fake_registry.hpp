// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/base64.hpp"
#include "base/format.hpp"
#include "base/temp_dir.hpp"
#include "prefetch/sources/registry_source.hpp"
#include "tests/support/http_server.hpp"
#include "tests/unit/prefetch/sources/image_fixture.hpp"

#include <catch2/catch.hpp>
#include <fcntl.h>

#include <atomic>
#include <mutex>

namespace slipway::test {

using namespace prefetch::credentials;
using namespace prefetch::sources;
using namespace prefetch::transfer;

/// A registry with one repository "team/app" and, if asked for, a token service of its own.
class FakeRegistry {
  public:
    FakeRegistry() : server_([this](const auto& request, auto& out) { return serve(request, out); }) {
        add(image);
        tags["latest"] = image.manifest;
    }
    void add(const FakeImage& more) { blobs.insert(more.blobs.begin(), more.blobs.end()); }
    std::string host() const { return fmt::format("127.0.0.1:{}", server_.port()); }
    std::vector<test::ServerRequest> requests() const { return server_.requests(); }
    std::size_t count(std::string_view method, std::string_view part) const {
        std::size_t found = 0;
        for (const auto& request : requests()) {
            found += request.method == method && request.target.find(part) != std::string::npos ? 1 : 0;
        }
        return found;
    }

    /// Hold it while changing anything below after the first request.
    std::unique_lock<std::mutex> frozen() { return std::unique_lock(mutex_); }

    enum class Auth { none, basic, bearer };
    Auth auth = Auth::none;
    std::string login;      ///< "user:password" that works
    bool is_public = false; ///< anonymous tokens are good
    bool deny_by_404 = false;
    bool identity_post = true;
    std::string realm; ///< other than our own
    bool head_digest = true;
    bool head_allowed = true;
    int head_failure = 0; ///< status of every HEAD, 0: as it should be
    std::atomic<bool> revoke{false}; ///< tokens given so far are worth nothing any more
    FakeImage image = test::make_image();
    std::map<std::string, std::string> tags;
    std::map<std::string, std::string> blobs;
    std::string type = std::string(image::media::oci_manifest);

  private:
    bool challenge(test::Connection& out) {
        const auto where = realm.empty() ? server_.url("/token") : realm;
        const auto line = auth == Auth::basic
                              ? std::string("WWW-Authenticate: Basic realm=\"x\"\r\n")
                              : fmt::format("WWW-Authenticate: Bearer realm=\"{}\",service=\"svc\","
                                            "scope=\"repository:team/app:pull\"\r\n",
                                            where);
        return out.reply(401, R"({"errors":[{"code":"UNAUTHORIZED","message":"log in"}]})", line);
    }
    std::string basic() const { return "Basic " + base::base64_encode(login); }
    bool allowed(const test::ServerRequest& request) {
        const auto given = request.header("authorization");
        if (auth == Auth::none) {
            return true;
        }
        if (auth == Auth::basic) {
            return given == basic();
        }
        const bool good = given == fmt::format("Bearer full{}", generation_.load());
        return good || (is_public && given == "Bearer anonymous");
    }
    bool token(const test::ServerRequest& request, test::Connection& out) {
        if (request.method == "POST") {
            return identity_post && request.body.find("refresh_token=identity") != std::string::npos
                       ? full_token(out)
                       : out.reply(identity_post ? 401 : 404, "");
        }
        const auto given = request.header("authorization");
        if (given.empty()) {
            return out.reply(200, R"({"token":"anonymous","expires_in":300})");
        }
        return given == basic() ? full_token(out) : out.reply(401, R"({"details":"wrong password"})");
    }
    bool full_token(test::Connection& out) {
        return out.reply(200, fmt::format(R"({{"access_token":"full{}"}})", generation_.load()));
    }
    bool serve(const test::ServerRequest& request, test::Connection& out) {
        const std::lock_guard lock(mutex_); // replies fit into the socket's buffer
        const std::string prefix = "/v2/team/app/";
        if (request.target.rfind("/token", 0) == 0) {
            return token(request, out);
        }
        if (revoke.exchange(false)) {
            ++generation_;
        }
        if (!allowed(request)) {
            const bool anonymous = request.header("authorization") == "Bearer anonymous";
            return anonymous && deny_by_404 ? out.reply(404, "") : challenge(out);
        }
        if (request.method == "HEAD" && head_failure != 0) {
            return out.send(fmt::format("HTTP/1.1 {} No\r\nContent-Length: 0\r\n\r\n", head_failure));
        }
        const auto path = request.target.substr(std::min(prefix.size(), request.target.size()));
        const auto slash = path.find('/');
        const auto name = slash == std::string::npos ? "" : path.substr(slash + 1);
        const auto tag = tags.find(name);
        const auto blob = blobs.find(name);
        if (tag == tags.end() && blob == blobs.end() && request.method == "HEAD") {
            return out.send("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n");
        }
        if (tag == tags.end() && blob == blobs.end()) {
            return out.reply(404, R"({"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]})");
        }
        const auto& body = tag != tags.end() ? tag->second : blob->second;
        if (path.rfind("manifests/", 0) != 0) {
            return out.reply(200, body);
        }
        const auto kind = body.find("\"manifests\"") != std::string::npos
                              ? std::string(image::media::oci_index)
                              : type;
        auto lines = fmt::format("Content-Type: {}\r\n", kind);
        if (head_digest) {
            lines += fmt::format("Docker-Content-Digest: {}\r\n", test::digest_of(body));
        }
        if (request.method == "HEAD") {
            return head_allowed ? out.send(fmt::format("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{}\r\n",
                                                       body.size(), lines))
                                : out.send("HTTP/1.1 405 No\r\nContent-Length: 0\r\n\r\n");
        }
        return out.reply(200, body, lines);
    }

    std::mutex mutex_;
    std::atomic<int> generation_{0};
    HttpServer server_;
};

/// A site, and what a source needs.
struct Bench {
    std::shared_ptr<config::Config> site = std::make_shared<config::Config>();
    SourceContext context;
    base::TempDir spool = *base::TempDir::create("spool");
    base::UniqueFd spool_fd = *base::open_file(spool.path(), O_PATH | O_DIRECTORY);

    Bench() {
        HttpClient::Options options;
        options.environment = [](const std::string&) { return std::string(); };
        context.client = *HttpClient::create(std::move(options));
        context.credentials.environment = [](const std::string&) { return std::string(); };
        context.no_https = true;
        context.spool = spool_fd.get();
        context.spool_budget = 1U << 20;
        context.pace.sleep = [](std::chrono::milliseconds, const std::stop_token& stop) {
            return !stop.stop_requested();
        };
    }
    base::Result<std::unique_ptr<Source>> source(const FakeRegistry& registry,
                                                 const std::string& suffix = "") {
        context.config = site;
        TRY_ASSIGN(const auto uri, image::parse_image_uri("docker://" + registry.host() + "/team/app" + suffix));
        return make_source(uri, context);
    }
    base::Result<ResolvedImage> resolve(const FakeRegistry& registry, const std::string& suffix = "",
                                        const char* platform = "linux/amd64") {
        TRY_ASSIGN(auto made, source(registry, suffix));
        return made->resolve(*image::parse_platform(platform), {});
    }
    void log_in(const std::string& user, const std::string& password) {
        context.credentials.given = Credential{user, base::Secret(password), {}, CredentialOrigin::option};
    }
};

inline std::string read_layer(const image::LayerInput& layer) {
    auto source = layer.open();
    INFO((source ? "" : source.error().one_line()));
    REQUIRE(source);
    std::string all;
    std::vector<std::uint8_t> buffer(1000);
    for (;;) {
        auto got = (*source)->read(buffer);
        INFO((got ? "" : got.error().one_line()));
        REQUIRE(got);
        if (*got == 0) {
            return all;
        }
        all.append(reinterpret_cast<const char*>(buffer.data()), *got);
    }
}

} // namespace slipway::test
