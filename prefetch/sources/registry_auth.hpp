// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "prefetch/credentials/credential.hpp"
#include "prefetch/sources/challenge.hpp"
#include "prefetch/transfer/fetch.hpp"

#include <functional>
#include <mutex>
#include <optional>
#include <string>

namespace slipway::prefetch::sources {

/// Authorization for one repository of one registry: starts anonymously, answers Bearer and Basic
/// challenges (Bearer preferred), gets tokens and renews them shortly before they end. Thread-safe;
/// several downloads share one token.
///
/// Credentials go to the registry's own origin (Basic) or to the realm that it names (Bearer), and
/// nowhere else. The realm must be https unless the registry itself is spoken to by plain http and
/// the realm is the same host or configured for it; a registry on the Internet may not name a realm
/// at a loopback, link-local or private address unless that host is configured.
class RegistryAuth : public transfer::Authorizer {
  public:
    /// Called at most once, when the registry first asks for more than anonymous access.
    using FindCredential = std::function<base::Result<std::optional<credentials::Credential>>()>;
    struct Options {
        transfer::FetchContext context; ///< for token requests
        transfer::Url registry;         ///< any URL of the registry
        std::string repository;
        std::string ca_file;
        FindCredential find_credential;
        /// Try an anonymous token before credentials are used, so that public images are known to
        /// be public.
        bool anonymous_first = false;
        bool registry_trusted = false; ///< configured by the site: realms may be anywhere
    };
    explicit RegistryAuth(Options options);

    base::Result<base::Secret> authorization(const std::stop_token& stop) override;
    base::Result<bool> challenged(const transfer::HttpHead& reply, const base::Secret& used,
                                  const std::stop_token& stop) override;

    /// After a 403 or 404 that an anonymous token got: true when credentials were found and will be
    /// used from now on, so that the request should be repeated.
    base::Result<bool> escalate(const std::stop_token& stop);

    /// A credential has been sent and accepted for something.
    [[nodiscard]] bool used_credentials() const;
    /// That credential belongs to the user, not to the site.
    [[nodiscard]] bool used_users_own() const;
    /// Which credentials were sent, for somebody whom the registry refused all the same; "" for none.
    [[nodiscard]] std::string doubt() const;

  private:
    enum class Scheme { anonymous, basic, bearer };
    base::Result<const credentials::Credential*> credential();
    base::Result<bool> use_basic(const base::Secret& used);
    base::Result<bool> use_bearer(const Challenge& challenge, const transfer::HttpHead& reply,
                                  const std::stop_token& stop);
    base::Result<void> check_realm(const transfer::Url& realm, const transfer::HttpHead& reply);
    base::Result<void> get_token(const std::stop_token& stop);
    base::Result<Token> request_token(const credentials::Credential* with,
                                      const std::stop_token& stop);
    base::Result<std::optional<Token>> exchange_identity(const credentials::Credential& with,
                                                         const std::stop_token& stop);
    [[nodiscard]] transfer::HttpRequest realm_request(transfer::Url url) const;
    [[nodiscard]] base::Secret header() const;

    Options options_;
    mutable std::mutex mutex_;
    bool searched_ = false;
    std::optional<credentials::Credential> credential_;
    Scheme scheme_ = Scheme::anonymous;
    TokenService service_;
    bool realm_public_only_ = false;
    bool with_credential_ = false; ///< tokens are asked for with the credential
    bool sent_credential_ = false;
    base::Secret token_;
    std::chrono::steady_clock::time_point token_end_;
};

} // namespace slipway::prefetch::sources
