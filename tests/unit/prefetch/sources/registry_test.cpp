// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/prefetch/sources/fake_registry.hpp"

using namespace slipway;
using namespace slipway::prefetch::credentials;
using namespace slipway::prefetch::sources;
using namespace slipway::prefetch::transfer;
using namespace std::chrono_literals;
using base::Code;
using test::Bench;
using test::FakeImage;
using test::FakeRegistry;
using test::HttpServer;
using test::read_layer;

TEST_CASE("an image is resolved and its layers are read") {
    Bench bench;
    FakeRegistry registry;
    auto image = bench.resolve(registry, ":latest");
    INFO((image ? "" : image.error().one_line()));
    REQUIRE(image);
    CHECK(image->manifest_digest.text() == registry.image.manifest_digest);
    CHECK(image->root_digest == image->manifest_digest);
    CHECK(test::layered(*image).manifest_json == registry.image.manifest);
    CHECK(test::layered(*image).config_json == registry.image.config);
    CHECK(image->platform.text() == "linux/amd64");
    CHECK(image->origin_kind == "docker");
    CHECK(image->canonical_reference ==
          "docker://" + registry.host() + "/team/app:latest@" + registry.image.manifest_digest);
    CHECK_FALSE(image->used_credentials);
    REQUIRE(test::layered(*image).layers.size() == 2);
    CHECK(test::layered(*image).layers[0].diff_id.text() == test::digest_of("bottom layer"));
    CHECK(read_layer(test::layered(*image).layers[1]) == "top layer");
    CHECK(read_layer(test::layered(*image).layers[0]) == "bottom layer");
    CHECK(read_layer(test::layered(*image).layers[0]) == "bottom layer");
    CHECK(registry.count("HEAD", "") == 0);
    CHECK(test::layered(*image).counters->total == 21);
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
    SECTION("answered with a failure although GET works") {
        registry.head_failure = GENERATE(400, 403, 404, 405, 429, 500, 501, 502, 503);
        auto head = (*bench.source(registry))->head({}, {});
        INFO(registry.head_failure << " " << (head ? "" : head.error().one_line()));
        REQUIRE(head);
        CHECK(head->digest.text() == registry.image.manifest_digest);
        CHECK(registry.count("HEAD", "manifests") == 1);
        CHECK(registry.count("GET", "manifests") == 1);
    }
    SECTION("denied") {
        registry.head_failure = 401;
        auto head = (*bench.source(registry))->head({}, {});
        REQUIRE_FALSE(head);
        CHECK(head.error().code == Code::source_denied);
        CHECK(registry.count("GET", "manifests") == 0);
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
        CHECK(read_layer(test::layered(*image).layers.at(0)) == "arm layer");
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
        auto source = test::layered(*image).layers[1].open();
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
        CHECK(read_layer(test::layered(*image).layers[0]) == "bottom layer");
    }
    SECTION("wrong") {
        bench.log_in("me", "guess");
        auto image = bench.resolve(registry);
        REQUIRE_FALSE(image);
        CHECK(image.error().code == Code::source_denied);
        CHECK(image.error().one_line().find("guess") == std::string::npos);
        CHECK(image.error().hint == "the credentials of the command line may be wrong or out of date");
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
        CHECK(read_layer(test::layered(*image).layers[1]) == "top layer");
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
}

TEST_CASE("bearer tokens: what they are asked for with, and how long they last") {
    Bench bench;
    FakeRegistry registry;
    registry.auth = FakeRegistry::Auth::bearer;
    registry.login = "me:pw";
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
        CHECK(read_layer(test::layered(*image).layers[1]) == "top layer");
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
        CHECK(read_layer(test::layered(*image).layers[0]) == "bottom layer");
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
        CHECK(read_layer(test::layered(*image).layers[0]) == "bottom layer");
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
        CHECK(image.error().message.find(registry.host() + "/v2/team/app/manifests/latest answers 404") !=
              std::string::npos);
        CHECK(image.error().message.find("in vain before: the mirror " + mirror.host()) !=
              std::string::npos);
    }
}

TEST_CASE("a mirror that is not there is asked once, and then the next") {
    Bench bench;
    FakeRegistry registry;
    FakeRegistry mirror;
    std::string dead;
    {
        FakeRegistry gone;
        dead = gone.host();
    }
    int pauses = 0;
    bench.context.pace.sleep = [&](std::chrono::milliseconds, const std::stop_token&) {
        ++pauses;
        return true;
    };
    bench.context.silent = std::make_shared<SilentHosts>();
    bench.site->registries[registry.host()].mirrors = {dead, mirror.host()};
    SECTION("and not by the next request") {
        REQUIRE((*bench.source(registry))->head({}, {}));
        CHECK(bench.context.silent->has(dead));
        auto image = bench.resolve(registry);
        REQUIRE(image);
        CHECK(image->endpoint == mirror.host());
        CHECK(pauses == 0);
    }
    SECTION("what other requests know counts") {
        bench.context.silent->add(mirror.host());
        REQUIRE(bench.resolve(registry));
        CHECK(mirror.requests().empty());
    }
    SECTION("the error says who was there") {
        mirror.tags.clear();
        registry.tags.clear();
        auto image = bench.resolve(registry);
        REQUIRE_FALSE(image);
        CHECK(image.error().message.find("the mirrors " + dead + " (no answer), " + mirror.host()) !=
              std::string::npos);
    }
    SECTION("where the registry does not answer, the mirror's answer is named") {
        bench.site->registries[dead].mirrors = {mirror.host()};
        mirror.tags.clear();
        bench.context.config = bench.site;
        const auto uri = image::parse_image_uri("docker://" + dead + "/team/app:latest");
        auto source = make_source(*uri, bench.context);
        REQUIRE(source);
        auto image = (*source)->resolve(*image::parse_platform("linux/amd64"), {});
        REQUIRE_FALSE(image);
        CHECK(image.error().code == Code::source_unreachable);
        CHECK(image.error().message.find("the mirror " + mirror.host() + ": ") != std::string::npos);
        CHECK(image.error().message.find("answers 404") < image.error().message.find(dead + ": cannot connect"));
        CHECK(image.error().hint == "check the spelling of the image and its tag");
    }
}

TEST_CASE("silent hosts are forgotten after their time") {
    SilentHosts now(std::chrono::seconds(0));
    now.add("a");
    CHECK_FALSE(now.has("a"));
    SilentHosts ever;
    ever.add("a");
    CHECK(ever.has("a"));
    CHECK_FALSE(ever.has("b"));
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
    site.registries["nvcr.io"].insecure = false;
    for (const char* spelling : {"https://nvcr.io/", "https://NVCR.io.:0443/", "https://nvcr.io:443/x"}) {
        INFO(spelling);
        CHECK(address_policy(site, true).trusts(*Url::parse(spelling)));
    }
    CHECK_FALSE(address_policy(site, true).trusts(*Url::parse("https://nvcr.io:444/")));
}

TEST_CASE("transports without layers say so") {
    const auto uri = image::parse_image_uri("library://alpine");
    REQUIRE(uri);
    const auto source = make_source(*uri, {});
    REQUIRE_FALSE(source);
    CHECK(source.error().code == Code::unsupported);
}
