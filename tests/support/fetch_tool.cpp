// SPDX-License-Identifier: Apache-2.0
// Resolves an image and reads its layers in the converter's order, for tests against real registries.
// Prints a JSON object on success, "CODE: message" on stderr otherwise.
#include "base/format.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "config/config.hpp"
#include "prefetch/sources/source.hpp"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <thread>

#include <nlohmann/json.hpp>
#include <fcntl.h>
#include <sys/resource.h>

namespace {

using namespace slipway;
using base::Result;

constexpr const char* usage =
    "usage: fetch_tool URI [config=FILE] [platform=P] [head=1] [no_https=1] [service=1]\n"
    "  [anonymous_first=1] [authfile=F] [home=D] [spool=D] [budget=BYTES] [parallel=N]\n"
    "  [delay_ms=N] [slow_us=N] [cancel_ms=N] [verbose=1]\n";

using Options = std::map<std::string, std::string>;

std::uint64_t number(const Options& options, const char* key, std::uint64_t otherwise) {
    const auto found = options.find(key);
    return found == options.end() ? otherwise : std::strtoull(found->second.c_str(), nullptr, 10);
}

std::string text(const Options& options, const char* key) {
    const auto found = options.find(key);
    return found == options.end() ? std::string() : found->second;
}

struct Read {
    std::string digest;
    std::uint64_t size = 0;
};

Result<Read> read_layer(const image::LayerInput& layer, std::uint64_t slow_us) {
    TRY_ASSIGN(auto source, layer.open());
    image::Hasher hasher(layer.blob.digest);
    std::vector<std::uint8_t> buffer(256 * 1024);
    Read read;
    for (;;) {
        TRY_ASSIGN(const auto got, source->read(buffer));
        if (got == 0) {
            read.digest = hasher.finish().text();
            return read;
        }
        hasher.update(std::span<const std::uint8_t>(buffer.data(), got));
        read.size += got;
        std::this_thread::sleep_for(std::chrono::microseconds(slow_us));
    }
}

Result<prefetch::sources::SourceContext> make_context(const Options& options, int spool) {
    prefetch::sources::SourceContext context;
    config::Config site;
    if (const auto file = text(options, "config"); !file.empty()) {
        TRY_ASSIGN(const auto content, base::read_file(file, 1 << 20));
        TRY_ASSIGN(site, config::parse(content, file));
    }
    const bool service = number(options, "service", 0) != 0;
    prefetch::transfer::HttpClient::Options client;
    client.addresses = prefetch::sources::address_policy(site, service);
    TRY_ASSIGN(context.client, prefetch::transfer::HttpClient::create(std::move(client)));
    context.config = std::make_shared<const config::Config>(std::move(site));
    context.credentials.auth_file = text(options, "authfile");
    context.credentials.home = text(options, "home");
    context.credentials.site_only = service;
    context.anonymous_first = number(options, "anonymous_first", 0) != 0;
    context.no_https = number(options, "no_https", 0) != 0;
    context.retry.first_delay = std::chrono::milliseconds(number(options, "delay_ms", 1000));
    context.spool = spool;
    context.spool_budget = number(options, "budget", std::uint64_t{1} << 30);
    context.parallel = static_cast<unsigned>(number(options, "parallel", 3));
    return context;
}

Result<nlohmann::json> run(const std::string& word, const Options& options) {
    TRY_ASSIGN(const auto uri, image::parse_image_uri(word));
    // One that cannot be opened stands for none.
    const auto spool = base::open_file(
        options.count("spool") != 0 ? text(options, "spool") : "/tmp", O_PATH | O_DIRECTORY);
    TRY_ASSIGN(auto context, make_context(options, spool ? spool->get() : -1));
    TRY_ASSIGN(auto source, prefetch::sources::make_source(uri, context));
    auto platform = image::host_platform();
    if (const auto wanted = text(options, "platform"); !wanted.empty()) {
        TRY_ASSIGN(platform, image::parse_platform(wanted));
    }
    std::stop_source stop;
    std::jthread canceller;
    if (const auto after = number(options, "cancel_ms", 0); after != 0) {
        canceller = std::jthread([&stop, after] {
            std::this_thread::sleep_for(std::chrono::milliseconds(after));
            stop.request_stop();
        });
    }
    if (number(options, "head", 0) != 0) {
        TRY_ASSIGN(const auto head, source->head(platform, stop.get_token()));
        return nlohmann::json{{"digest", head.digest.text()}, {"index", head.is_index}};
    }
    TRY_ASSIGN(auto image, source->resolve(platform, stop.get_token()));
    nlohmann::json out{{"reference", image.canonical_reference},
                       {"root", image.root_digest.text()},
                       {"manifest", image.manifest_digest.text()},
                       {"platform", image.platform.text()},
                       {"origin", image.origin_kind},
                       {"endpoint", image.endpoint},
                       {"credentials", image.used_credentials},
                       {"own", image.users_own_credentials}};
    const auto& layered = std::get<prefetch::sources::LayeredImage>(image.content);
    auto& layers = out["layers"] = nlohmann::json::array();
    for (std::size_t i = layered.layers.size(); i-- > 0;) {
        const auto& layer = layered.layers[i];
        TRY_ASSIGN(const auto read, read_layer(layer, number(options, "slow_us", 0)));
        layers.push_back({{"size", read.size},
                          {"good", read.digest == layer.blob.digest.text() &&
                                       read.size == layer.blob.size}});
    }
    rusage usage_now{};
    ::getrusage(RUSAGE_SELF, &usage_now);
    if (layered.counters) {
        out["received"] = layered.counters->done.load();
        out["total"] = layered.counters->total.load();
    }
    out["max_rss_kib"] = usage_now.ru_maxrss;
    return out;
}

} // namespace

int main(int argc, char** argv) {
    Options options;
    for (int i = 2; i < argc; ++i) {
        const std::string word = argv[i];
        const auto equals = word.find('=');
        if (equals == std::string::npos) {
            std::fputs(usage, stderr);
            return 2;
        }
        options[word.substr(0, equals)] = word.substr(equals + 1);
    }
    if (argc < 2) {
        std::fputs(usage, stderr);
        return 2;
    }
    if (number(options, "verbose", 0) != 0) {
        base::set_log_sink([](base::LogLevel level, std::string_view message) {
            std::fprintf(stderr, "%.*s: %.*s\n", static_cast<int>(base::log_levels.name(level).size()),
                         base::log_levels.name(level).data(), static_cast<int>(message.size()),
                         message.data());
        });
    }
    auto result = run(argv[1], options);
    if (!result) {
        std::fprintf(stderr, "%s\n", result.error().one_line().c_str());
        return 1;
    }
    std::printf("%s\n", result->dump().c_str());
    return 0;
}
