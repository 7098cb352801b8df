// SPDX-License-Identifier: Apache-2.0
#include "base/base64.hpp"
#include "base/format.hpp"
#include "base/temp_dir.hpp"
#include "prefetch/sources/registry_source.hpp"
#include "tests/support/http_server.hpp"
#include "tests/unit/prefetch/sources/image_fixture.hpp"

#include <catch2/catch.hpp>

#include <atomic>
#include <mutex>

using namespace slipway;
using namespace slipway::prefetch::credentials;
using namespace slipway::prefetch::sources;
using namespace slipway::prefetch::transfer;
using namespace std::chrono_literals;
using base::Code;
using test::FakeImage;
using test::HttpServer;

namespace {

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
        const auto path = request.target.substr(std::min(prefix.size(), request.target.size()));
        const auto slash = path.find('/');
        const auto name = slash == std::string::npos ? "" : path.substr(slash + 1);
        const auto tag = tags.find(name);
        const auto blob = blobs.find(name);
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

struct Bench {
    std::shared_ptr<config::Config> site = std::make_shared<config::Config>();
    SourceContext context;
    base::TempDir spool = *base::TempDir::create("spool");

    Bench() {
        HttpClient::Options options;
        options.environment = [](const std::string&) { return std::string(); };
        context.client = *HttpClient::create(std::move(options));
        context.credentials.environment = [](const std::string&) { return std::string(); };
        context.no_https = true;
        context.spool_dir = spool.path();
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

std::string read_layer(const image::LayerInput& layer) {
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

} // namespace

TEST_CASE("an image is resolved and its layers are read") {
    Bench bench;
    FakeRegistry registry;
    auto image = bench.resolve(registry, ":latest");
    INFO((image ? "" : image.error().one_line()));
    REQUIRE(image);
    CHECK(image->manifest_digest.text() == registry.image.manifest_digest);
    CHECK(image->root_digest == image->manifest_digest);
    CHECK(image->manifest_json == registry.image.manifest);
    CHECK(image->config_json == registry.image.config);
    CHECK(image->platform.text() == "linux/amd64");
    CHECK(image->origin_kind == "docker");
    CHECK(image->canonical_reference ==
          "docker://" + registry.host() + "/team/app:latest@" + registry.image.manifest_digest);
    CHECK_FALSE(image->used_credentials);
    REQUIRE(image->layers.size() == 2);
    CHECK(image->layers[0].diff_id.text() == test::digest_of("bottom layer"));
    CHECK(read_layer(image->layers[1]) == "top layer");
    CHECK(read_layer(image->layers[0]) == "bottom layer");
    CHECK(read_layer(image->layers[0]) == "bottom layer");
    CHECK(registry.count("HEAD", "") == 0);
    CHECK(image->counters->total == 21);
}

TEST_CASE("a tag is looked up by HEAD") {
    Bench bench;
    FakeRegistry registry;
    SECTION("as it should be") {
        auto head = (*bench.source(registry))->head({}, {});
        REQUIRE(head);
        CHECK(head->digest.text() == registry.image.manifest_digest);
        CHECK_FALSE(head->is_index);
        CHECK(registry.count("GET", "manifests") == 0);
    }
    SECTION("without a digest, or not allowed") {
        registry.head_allowed = GENERATE(true, false);
        registry.head_digest = false;
        auto head = (*bench.source(registry))->head({}, {});
        REQUIRE(head);
        CHECK(head->digest.text() == registry.image.manifest_digest);
        CHECK(registry.count("GET", "manifests") == 1);
    }
    SECTION("an index") {
        registry.tags["latest"] = test::make_index({});
        CHECK((*bench.source(registry))->head({}, {})->is_index);
    }
    SECTION("unknown") {
        auto head = (*bench.source(registry, ":nope"))->head({}, {});
        REQUIRE_FALSE(head);
        CHECK(head.error().code == Code::source_not_found);
    }
}

TEST_CASE("an index is followed to the platform") {
    Bench bench;
    FakeRegistry registry;
    const auto arm = test::make_image("arm64", {"arm layer"});
    registry.add(arm);
    const auto entry = [](const FakeImage& image, const char* architecture) {
        return test::descriptor(image::media::oci_manifest, image.manifest,
                                fmt::format(R"(,"platform":{{"os":"linux","architecture":"{}"}})",
                                            architecture));
    };
    auto index = test::make_index({entry(registry.image, "amd64"), entry(arm, "arm64")});
    registry.tags["multi"] = index;
    SECTION("one index") {
        auto image = bench.resolve(registry, ":multi", "linux/arm64");
        REQUIRE(image);
        CHECK(image->root_digest.text() == test::digest_of(index));
        CHECK(image->manifest_digest.text() == arm.manifest_digest);
        CHECK(read_layer(image->layers.at(0)) == "arm layer");
        CHECK(bench.resolve(registry, ":multi")->manifest_digest.text() == registry.image.manifest_digest);
        auto none = bench.resolve(registry, ":multi", "linux/ppc64le");
        REQUIRE_FALSE(none);
        CHECK(none.error().code == Code::platform_mismatch);
    }
    SECTION("nested ones up to a limit") {
        for (int depth = 1; depth < 6; ++depth) {
            INFO(depth);
            const auto good = bench.resolve(registry, ":multi");
            CHECK(good.has_value() == (depth <= 4));
            const auto lock = registry.frozen();
            registry.blobs[test::digest_of(index)] = index;
            index = test::make_index({test::descriptor(
                image::media::oci_index, index, R"(,"platform":{"os":"linux","architecture":"amd64"})")});
            registry.tags["multi"] = index;
        }
    }
    SECTION("a child of a wrong size") {
        auto lying = index;
        const auto size = fmt::format("\"size\":{}", registry.image.manifest.size());
        lying.replace(lying.find(size), size.size(), "\"size\":7");
        registry.tags["multi"] = lying;
        auto image = bench.resolve(registry, ":multi");
        REQUIRE_FALSE(image);
        CHECK(image.error().code == Code::digest_mismatch);
    }
    SECTION("a single manifest of another platform") {
        registry.tags["arm"] = arm.manifest;
        auto image = bench.resolve(registry, ":arm");
        REQUIRE_FALSE(image);
        CHECK(image.error().code == Code::platform_mismatch);
    }
}

TEST_CASE("documents that are not what they claim are refused") {
    Bench bench;
    FakeRegistry registry;
    auto& stored = registry.blobs;
    SECTION("another manifest under the digest") {
        stored[registry.image.manifest_digest] = test::make_image("amd64", {"x"}).manifest;
        auto image = bench.resolve(registry, "@" + registry.image.manifest_digest);
        REQUIRE_FALSE(image);
        CHECK(image.error().code == Code::digest_mismatch);
    }
    SECTION("another configuration of the same size") {
        auto other = registry.image.config;
        other[other.find("sh")] = 'c';
        stored[test::digest_of(registry.image.config)] = other;
        auto image = bench.resolve(registry);
        REQUIRE_FALSE(image);
        CHECK(image.error().code == Code::digest_mismatch);
    }
    SECTION("a configuration that is too long") {
        stored[test::digest_of(registry.image.config)] += std::string(100'000, ' ');
        CHECK_FALSE(bench.resolve(registry));
    }
    SECTION("a layer that is longer than it should be") {
        auto image = bench.resolve(registry);
        {
            const auto lock = registry.frozen();
            stored[test::digest_of("top layer")] += "more";
        }
        auto source = image->layers[1].open();
        REQUIRE_FALSE(source);
        CHECK(source.error().code == Code::digest_mismatch);
    }
    SECTION("a wrong number of diff_ids") {
        auto odd = test::make_image("amd64", {"a", "b"});
        const auto one = test::make_image("amd64", {"a"});
        auto manifest = odd.manifest;
        const auto from = test::descriptor(image::media::oci_config, odd.config);
        manifest.replace(manifest.find(from), from.size(),
                         test::descriptor(image::media::oci_config, one.config));
        registry.add(odd);
        registry.add(one);
        registry.tags["odd"] = manifest;
        auto image = bench.resolve(registry, ":odd");
        REQUIRE_FALSE(image);
        CHECK(image.error().code == Code::source_protocol);
    }
    SECTION("schema 1") {
        registry.type = "application/vnd.docker.distribution.manifest.v1+prettyjws";
        registry.tags["old"] = R"({"schemaVersion":1,"name":"a","tag":"b","fsLayers":[]})";
        auto image = bench.resolve(registry, ":old");
        REQUIRE_FALSE(image);
        CHECK(image.error().code == Code::media_type);
    }
    SECTION("more layers than allowed") {
        bench.site->limits.layers = 1;
        auto image = bench.resolve(registry);
        REQUIRE_FALSE(image);
        CHECK(image.error().code == Code::limit_exceeded);
    }
}

TEST_CASE("basic authentication") {
    Bench bench;
    FakeRegistry registry;
    registry.auth = FakeRegistry::Auth::basic;
    registry.login = "me:pa:ss";
    SECTION("right") {
        bench.log_in("me", "pa:ss");
        auto image = bench.resolve(registry);
        REQUIRE(image);
        CHECK(image->used_credentials);
        CHECK(image->users_own_credentials);
        CHECK(read_layer(image->layers[0]) == "bottom layer");
    }
    SECTION("wrong") {
        bench.log_in("me", "guess");
        auto image = bench.resolve(registry);
        REQUIRE_FALSE(image);
        CHECK(image.error().code == Code::source_denied);
        CHECK(image.error().one_line().find("guess") == std::string::npos);
        CHECK(registry.requests().size() == 2);
    }
    SECTION("none") {
        auto image = bench.resolve(registry);
        REQUIRE_FALSE(image);
        CHECK(image.error().code == Code::source_denied);
        CHECK(image.error().message.find("UNAUTHORIZED: log in") != std::string::npos);
        CHECK(registry.requests().size() == 1);
    }
    SECTION("of the site") {
        bench.site->registries[registry.host()].username = "me";
        const auto file = bench.spool.path() + "/password";
        FILE* out = std::fopen(file.c_str(), "w");
        std::fputs("pa:ss\n", out);
        std::fclose(out);
        bench.site->registries[registry.host()].password_file = file;
        bench.context.credentials.site_only = true;
        auto image = bench.resolve(registry);
        REQUIRE(image);
        CHECK(image->used_credentials);
        CHECK_FALSE(image->users_own_credentials);
    }
}

TEST_CASE("bearer tokens") {
    Bench bench;
    FakeRegistry registry;
    registry.auth = FakeRegistry::Auth::bearer;
    registry.login = "me:pw";
    SECTION("anonymous for public images, one token for all") {
        registry.is_public = true;
        auto image = bench.resolve(registry);
        REQUIRE(image);
        CHECK_FALSE(image->used_credentials);
        CHECK(read_layer(image->layers[1]) == "top layer");
        CHECK(registry.count("GET", "/token") == 1);
        CHECK(registry.requests().at(1).target == "/token?service=svc&scope=repository%3Ateam%2Fapp%3Apull");
    }
    SECTION("with credentials") {
        bench.log_in("me", "pw");
        auto image = bench.resolve(registry);
        REQUIRE(image);
        CHECK(image->used_credentials);
        CHECK(registry.requests().at(1).target.find("account=me&") != std::string::npos);
    }
    SECTION("with wrong credentials") {
        bench.log_in("me", "guess");
        auto image = bench.resolve(registry);
        REQUIRE_FALSE(image);
        CHECK(image.error().code == Code::source_denied);
        INFO(image.error().one_line());
        CHECK(image.error().one_line().find("wrong password") != std::string::npos);
        CHECK(image.error().hint.find("command line") != std::string::npos);
    }
    SECTION("none for a private image") {
        auto image = bench.resolve(registry);
        REQUIRE_FALSE(image);
        CHECK(image.error().code == Code::source_denied);
        CHECK(registry.requests().size() <= 5);
    }
    SECTION("anonymous first, credentials only when that is not enough") {
        bench.context.anonymous_first = true;
        bench.log_in("me", "pw");
        registry.is_public = true;
        CHECK_FALSE(bench.resolve(registry)->used_credentials);
        const bool deny_by_404 = GENERATE(true, false);
        {
            const auto lock = registry.frozen();
            registry.is_public = false;
            registry.deny_by_404 = deny_by_404;
        }
        auto image = bench.resolve(registry);
        REQUIRE(image);
        CHECK(image->used_credentials);
    }
    SECTION("a token that ends during the download is renewed") {
        bench.log_in("me", "pw");
        auto image = bench.resolve(registry);
        REQUIRE(image);
        registry.revoke = true;
        CHECK(read_layer(image->layers[1]) == "top layer");
        CHECK(registry.count("GET", "/token") == 2);
    }
    SECTION("identity tokens") {
        bench.context.credentials.given =
            Credential{"", {}, base::Secret("identity"), CredentialOrigin::option};
        CHECK(bench.resolve(registry)->used_credentials);
        {
            const auto lock = registry.frozen();
            registry.identity_post = false;
        }
        CHECK_FALSE(bench.resolve(registry));
    }
}

TEST_CASE("tokens are asked for only where that is safe") {
    Bench bench;
    FakeRegistry registry;
    registry.auth = FakeRegistry::Auth::bearer;
    registry.login = "me:pw";
    bench.log_in("me", "pw");
    std::atomic<int> stolen{0};
    HttpServer thief([&](const test::ServerRequest&, test::Connection& out) {
        ++stolen;
        return out.reply(200, R"({"token":"x"})");
    });
    SECTION("not at another host by plain http") {
        // Another loopback name is another host; without --no-https nothing allows it.
        bench.context.no_https = false;
        bench.site->registries[registry.host()].insecure = true;
        registry.realm = fmt::format("http://localhost:{}/token", thief.port());
        auto image = bench.resolve(registry);
        REQUIRE_FALSE(image);
        CHECK(image.error().code == Code::source_protocol);
        CHECK(stolen == 0);
    }
    SECTION("not at a realm that is no URL") {
        registry.realm = "file:///etc/passwd";
        CHECK_FALSE(bench.resolve(registry));
    }
    SECTION("not at an inner address named by an outer registry") {
        RegistryAuth::Options options;
        options.context.client = bench.context.client;
        options.registry = *Url::parse("https://registry.example/v2/");
        options.repository = "team/app";
        options.find_credential = [] {
            return std::optional<Credential>(
                Credential{"me", base::Secret("pw"), {}, CredentialOrigin::option});
        };
        HttpHead reply;
        reply.status = 401;
        reply.peer = AddressKind::global;
        reply.headers.add("WWW-Authenticate",
                          fmt::format("Bearer realm=\"https://127.0.0.1:{}/token\"", thief.port()));
        RegistryAuth auth(options);
        auto answer = auth.challenged(reply, base::Secret(), {});
        REQUIRE_FALSE(answer);
        CHECK(answer.error().code == Code::source_denied);
        CHECK(stolen == 0);
        CHECK_FALSE(auth.used_credentials());
    }
}

TEST_CASE("mirrors are tried before the registry") {
    Bench bench;
    FakeRegistry registry;
    FakeRegistry mirror;
    mirror.image = registry.image;
    bench.site->registries[registry.host()].mirrors = {mirror.host()};
    SECTION("a good one spares the registry") {
        auto image = bench.resolve(registry);
        REQUIRE(image);
        CHECK(image->endpoint == mirror.host());
        CHECK(read_layer(image->layers[0]) == "bottom layer");
        CHECK(registry.requests().empty());
    }
    SECTION("one without the image is passed over") {
        mirror.tags.clear();
        auto image = bench.resolve(registry);
        REQUIRE(image);
        CHECK(image->endpoint == registry.host());
        CHECK((*bench.source(registry))->head({}, {}));
    }
    SECTION("one that loses a blob is helped out") {
        auto image = bench.resolve(registry);
        {
            const auto lock = mirror.frozen();
            mirror.blobs.clear();
        }
        CHECK(read_layer(image->layers[0]) == "bottom layer");
    }
    SECTION("the user's password is not for it") {
        bench.log_in("me", "pw");
        mirror.auth = FakeRegistry::Auth::basic;
        mirror.login = "me:pw";
        REQUIRE(bench.resolve(registry));
        for (const auto& request : mirror.requests()) {
            CHECK(request.header("authorization").empty());
        }
    }
    SECTION("the registry has the last word") {
        mirror.tags.clear();
        registry.tags.clear();
        auto image = bench.resolve(registry);
        REQUIRE_FALSE(image);
        CHECK(image.error().message.find(registry.host()) != std::string::npos);
    }
}

TEST_CASE("plain http only where it is allowed") {
    config::Config site;
    site.registries["mirror.site:5000"].insecure = true;
    CHECK(registry_url("docker.io", site, false)->text() == "https://registry-1.docker.io/");
    CHECK(registry_url("mirror.site:5000", site, false)->plain_http());
    CHECK_FALSE(registry_url("localhost:5000", site, false)->plain_http());
    CHECK(registry_url("localhost:5000", site, true)->plain_http());
    CHECK(registry_url("127.0.0.1:5000", site, true)->plain_http());
    CHECK_FALSE(registry_url("registry.example", site, true));
    CHECK(registry_url("registry.example", site, true).error().hint.find("insecure: true") !=
          std::string::npos);
}

TEST_CASE("the service reaches only public and configured registries") {
    config::Config site;
    site.registries["docker.io"].mirrors = {"mirror.site:5000"};
    site.registries["inner.site"].insecure = true;
    const auto policy = address_policy(site, true);
    CHECK(policy.public_only);
    CHECK(policy.trusts(*Url::parse("http://mirror.site:5000/")));
    CHECK(policy.trusts(*Url::parse("http://inner.site/")));
    CHECK_FALSE(policy.trusts(*Url::parse("http://other.site/")));
    CHECK_FALSE(address_policy(site, false).public_only);
}

TEST_CASE("transports without layers say so") {
    const auto uri = image::parse_image_uri("library://alpine");
    REQUIRE(uri);
    const auto source = make_source(*uri, {});
    REQUIRE_FALSE(source);
    CHECK(source.error().code == Code::unsupported);
}
