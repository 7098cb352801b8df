// SPDX-License-Identifier: Apache-2.0
#include "prefetch/sources/registry_source.hpp"

#include "base/format.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "prefetch/sources/layered_image.hpp"

#include <algorithm>
#include <optional>
#include <utility>

namespace slipway::prefetch::sources {
namespace {

using base::Code;
using base::fail;

/// Asks one endpoint for the documents that its manifest names.
class EndpointDocuments : public DocumentSource {
  public:
    EndpointDocuments(const RegistryEndpoint& endpoint, const std::stop_token& stop)
        : endpoint_(endpoint), stop_(stop) {}
    base::Result<RawDocument> document(const image::Descriptor& wanted) override {
        return endpoint_.manifest(wanted.digest.text(), stop_);
    }
    base::Result<std::string> small_blob(const image::Descriptor& wanted) override {
        return endpoint_.small_blob(wanted, stop_);
    }

  private:
    const RegistryEndpoint& endpoint_;
    const std::stop_token& stop_;
};

/// Where the API of a registry is; docker.io is only a name.
std::string api_host(const std::string& registry) {
    image::Reference reference;
    reference.registry = registry;
    return reference.api_host();
}

struct EndpointSpec {
    std::string host; ///< as configured or as in the reference
    credentials::CredentialFinder::Role role;
};

transfer::PlainHttpRule plain_http_rule(std::shared_ptr<SourceContext> context) {
    return [context = std::move(context)](const transfer::Url& url) {
        const auto& config = *context->config;
        return config::registry(config, url.host_port()).insecure ||
               config::registry(config, url.authority()).insecure ||
               (context->no_https && transfer::is_loopback_name(url.host));
    };
}

bool is_configured(const config::Config& config, const std::string& host) {
    return config.registries.count(host) != 0;
}

transfer::FetchContext fetch_context(const EndpointSpec& spec, const transfer::Url& base,
                                     const std::shared_ptr<SourceContext>& context,
                                     const std::shared_ptr<SilentHosts>& silent) {
    transfer::FetchContext fetching;
    fetching.client = context->client;
    fetching.retry = context->retry;
    fetching.pace = context->pace;
    fetching.plain_http_ok = plain_http_rule(context);
    if (spec.role == credentials::CredentialFinder::Role::mirror) {
        fetching.retry.others_are_left = true;
        fetching.no_connection = [silent, everybody = context->silent, name = base.host_port()] {
            silent->add(name);
            if (everybody) {
                everybody->add(name);
            }
        };
    }
    return fetching;
}

base::Result<std::shared_ptr<const RegistryEndpoint>>
make_endpoint(const EndpointSpec& spec, const image::Reference& reference,
              const std::shared_ptr<SourceContext>& context,
              const std::shared_ptr<SilentHosts>& silent) {
    const auto& config = *context->config;
    const auto& site = config::registry(config, spec.host);
    TRY_ASSIGN(auto base, registry_url(spec.host, config, context->no_https));
    auto fetching = fetch_context(spec, base, context, silent);
    RegistryAuth::Options auth;
    auth.context = fetching;
    auth.registry = base;
    auth.repository = reference.path;
    auth.ca_file = site.ca_file;
    auth.anonymous_first = context->anonymous_first;
    auth.registry_trusted = is_configured(config, spec.host);
    auth.find_credential = [context, spec, path = reference.path] {
        credentials::CredentialFinder finder(context->credentials, *context->config);
        return finder.find(spec.host, path, spec.role);
    };
    RegistryEndpoint::Options options;
    options.context = std::move(fetching);
    options.base = std::move(base);
    options.repository = reference.path;
    options.ca_file = site.ca_file;
    options.max_bytes_per_second =
        site.rate_limit == 0 ? 0 : std::max<std::uint64_t>(1, site.rate_limit / context->parallel);
    options.auth = std::make_shared<RegistryAuth>(std::move(auth));
    return std::make_shared<const RegistryEndpoint>(std::move(options));
}

bool gave_no_answer(const base::Error& error) {
    return error.code == Code::source_unreachable || error.code == Code::timed_out;
}

struct PassedOver {
    std::string mirror;
    std::optional<base::Error> error; ///< nothing: it was not asked, for it was silent before
};

/// What the registry said last, with what mirrors have said before. Where it did not answer, the first mirror
/// that did has said all that is known; the code stays the registry's, for only that could say more.
base::Error with_mirrors(base::Error error, const std::vector<PassedOver>& mirrors) {
    const auto answered = std::find_if(mirrors.begin(), mirrors.end(), [](const auto& each) {
        return each.error && !gave_no_answer(*each.error);
    });
    if (gave_no_answer(error) && answered != mirrors.end()) {
        return {error.code, error.sys_errno,
                fmt::format("the mirror {}: {}; the registry itself gives no answer: {}",
                            answered->mirror, answered->error->message, error.message),
                answered->error->hint};
    }
    error.message += fmt::format(
        "; asked in vain before: {} {}", mirrors.size() == 1 ? "the mirror" : "the mirrors",
        base::joined(mirrors, ", ", [](const PassedOver& each) {
            return each.error && !gave_no_answer(*each.error) ? each.mirror
                                                              : each.mirror + " (no answer)";
        }));
    return error;
}

} // namespace

base::Result<transfer::Url> registry_url(const std::string& host, const config::Config& config,
                               bool no_https) {
    TRY_ASSIGN(auto url, transfer::Url::parse("https://" + api_host(host)));
    if (config::registry(config, host).insecure || (no_https && transfer::is_loopback_name(url.host))) {
        // The canonical form leaves out 443, so "myhost:443" is only the name myhost; plain http has
        // a port of its own.
        auto authority = api_host(host);
        if (authority.ends_with(":443")) {
            authority.resize(authority.size() - 4);
        }
        return transfer::Url::parse("http://" + authority);
    }
    if (no_https && !is_configured(config, host)) {
        return fail(Code::option_invalid,
                    fmt::format("--no-https is only for registries on this machine, not for {}",
                                base::in_quotes(host)),
                    fmt::format("put `registries: {{\"{}\": {{insecure: true}}}}` into slipway.yaml",
                                host));
    }
    return url;
}

base::Result<std::unique_ptr<Source>> RegistrySource::create(const image::ImageUri& uri,
                                                             const SourceContext& given) {
    auto context = std::make_shared<SourceContext>(given);
    context->parallel = std::max(context->parallel, 1U);
    const auto& reference = uri.reference;
    std::vector<EndpointSpec> specs;
    for (const auto& mirror : config::registry(*context->config, reference.registry).mirrors) {
        specs.push_back({mirror, credentials::CredentialFinder::Role::mirror});
    }
    specs.push_back({reference.registry, credentials::CredentialFinder::Role::registry});
    auto silent = std::make_shared<SilentHosts>();
    Endpoints endpoints;
    for (const auto& spec : specs) {
        TRY_ASSIGN(auto endpoint, make_endpoint(spec, reference, context, silent));
        endpoints.push_back(std::move(endpoint));
    }
    return std::unique_ptr<Source>(new RegistrySource(uri, std::move(context), std::move(silent),
                                                      std::move(endpoints)));
}

RegistrySource::RegistrySource(image::ImageUri uri, std::shared_ptr<SourceContext> context,
                               std::shared_ptr<SilentHosts> silent, Endpoints endpoints)
    : uri_(std::move(uri)), context_(std::move(context)), silent_(std::move(silent)),
      endpoints_(std::move(endpoints)) {}

bool RegistrySource::is_silent(std::size_t mirror) const {
    const auto name = endpoints_[mirror]->name();
    return silent_->has(name) || (context_->silent && context_->silent->has(name));
}

/// The answer of the first endpoint that has one, else what the registry itself said.
template <typename Ask>
auto RegistrySource::first_answer(Ask ask) const -> decltype(ask(std::size_t{0})) {
    std::vector<PassedOver> passed_over;
    for (std::size_t i = 0; i + 1 < endpoints_.size(); ++i) {
        passed_over.push_back({endpoints_[i]->name(), {}});
        if (is_silent(i)) {
            continue;
        }
        auto answer = ask(i);
        if (answer || answer.error().code == Code::interrupted) {
            return answer;
        }
        base::log(base::LogLevel::info, fmt::format("mirror {} is passed over: {}",
                                                    endpoints_[i]->name(),
                                                    answer.error().one_line()));
        passed_over.back().error = std::move(answer).error();
    }
    auto answer = ask(endpoints_.size() - 1);
    if (answer || answer.error().code == Code::interrupted || passed_over.empty()) {
        return answer;
    }
    return base::Unexpected(with_mirrors(std::move(answer).error(), passed_over));
}

base::Result<RemoteHead> RegistrySource::head(const image::Platform&, std::stop_token stop) {
    const auto selector = uri_.reference.manifest_selector();
    auto answer =
        first_answer([&](std::size_t i) { return endpoints_[i]->head(selector, stop); });
    if (!answer) {
        return base::Unexpected(std::move(answer).error().context(
            "cannot look up " + base::in_quotes(uri_.reference.text())));
    }
    return answer;
}

base::Result<ResolvedImage> RegistrySource::resolve(const image::Platform& wanted,
                                                    std::stop_token stop) {
    auto answer = first_answer([&](std::size_t i) { return resolve_at(i, wanted, stop); });
    if (!answer) {
        return base::Unexpected(std::move(answer).error().context(
            "cannot get " + base::in_quotes(uri_.reference.text())));
    }
    return answer;
}

base::Result<ResolvedImage> RegistrySource::resolve_at(std::size_t index,
                                                       const image::Platform& wanted,
                                                       const std::stop_token& stop) const {
    const auto& endpoint = *endpoints_[index];
    TRY_ASSIGN(auto root, endpoint.manifest(uri_.reference.manifest_selector(), stop));
    auto root_digest = root.digest;
    EndpointDocuments documents(endpoint, stop);
    TRY_ASSIGN(auto chosen, choose_image(std::move(root), wanted, documents,
                                         context_->config->limits.layers));
    auto pinned = uri_;
    pinned.reference.digest = chosen.manifest_document.digest;
    auto counters = std::make_shared<TransferCounters>();
    const auto opener = [prefetcher = prefetch(chosen.manifest, index, counters, stop)](
                            std::size_t layer) {
        return [prefetcher, layer] { return prefetcher->open(layer); };
    };
    auto image = layered_image(pinned, std::move(chosen), std::move(root_digest), wanted, opener,
                               std::move(counters));
    image.endpoint = endpoint.name();
    image.used_credentials = endpoint.auth().used_credentials();
    image.users_own_credentials = endpoint.auth().used_users_own();
    return image;
}

std::shared_ptr<LayerPrefetcher>
RegistrySource::prefetch(const image::Manifest& manifest, std::size_t first,
                         std::shared_ptr<TransferCounters> counters,
                         const std::stop_token& stop) const {
    std::vector<LayerPrefetcher::Blob> blobs;
    for (const auto& descriptor : manifest.layers) {
        auto download = [endpoints = endpoints_, silent = silent_, first,
                         descriptor](const std::stop_token& token) {
            base::Result<std::unique_ptr<base::ByteSource>> opened;
            bool asked = false;
            for (std::size_t turn = 0; turn <= endpoints.size(); ++turn) {
                const auto i = turn == 0 ? first : turn - 1;
                const bool mirror = i + 1 < endpoints.size();
                if ((turn > 0 && i == first) || (mirror && silent->has(endpoints[i]->name()))) {
                    continue;
                }
                auto more = endpoints[i]->open_blob(descriptor, token);
                if (more || more.error().code == Code::interrupted) {
                    return more;
                }
                if (!std::exchange(asked, true)) {
                    opened = std::move(more); // whoever was asked first says what is wrong
                }
            }
            return opened;
        };
        blobs.push_back({descriptor, std::move(download)});
    }
    return LayerPrefetcher::create(
        std::move(blobs),
        {context_->parallel, context_->spool_budget, context_->spool, std::move(counters)}, stop);
}

} // namespace slipway::prefetch::sources
