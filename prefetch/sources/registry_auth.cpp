// SPDX-License-Identifier: Apache-2.0
#include "prefetch/sources/registry_auth.hpp"

#include "base/enum_table.hpp"
#include "base/format.hpp"
#include "base/text.hpp"
#include "prefetch/transfer/error_body.hpp"

namespace slipway::prefetch::sources {
namespace {

using base::Code;
using base::fail;
using Clock = std::chrono::steady_clock;

constexpr std::size_t max_token_body = 64 * 1024;
constexpr std::chrono::seconds renew_before{10};

/// Whose credentials a registry did not accept, for messages.
constexpr base::EnumTable origin_texts = std::array{
    base::EnumRow{credentials::CredentialOrigin::option, "of the command line"},
    base::EnumRow{credentials::CredentialOrigin::environment, "in the environment variables"},
    base::EnumRow{credentials::CredentialOrigin::auth_file, "in the auth file"},
    base::EnumRow{credentials::CredentialOrigin::helper, "of the credential helper"},
    base::EnumRow{credentials::CredentialOrigin::site, "of the site"},
};

std::string doubt_about(const credentials::Credential& credential) {
    return fmt::format("the credentials {} may be wrong or out of date",
                       origin_texts.name(credential.origin));
}

const std::string& parameter(const Challenge& challenge, const char* name) {
    static const std::string none;
    const auto found = challenge.parameters.find(name);
    return found == challenge.parameters.end() ? none : found->second;
}

} // namespace

RegistryAuth::RegistryAuth(Options options) : options_(std::move(options)) {}

base::Secret RegistryAuth::header() const {
    switch (scheme_) {
    case Scheme::basic:
        return credential_ ? credentials::basic_authorization(*credential_) : base::Secret();
    case Scheme::bearer:
        return token_.empty() ? base::Secret() : base::Secret::join({"Bearer ", token_.reveal()});
    case Scheme::anonymous:
        break;
    }
    return {};
}

base::Result<base::Secret> RegistryAuth::authorization(const std::stop_token& stop) {
    const std::lock_guard lock(mutex_);
    if (scheme_ == Scheme::bearer && !token_.empty() && Clock::now() >= token_end_) {
        TRY(get_token(stop));
    }
    return header();
}

base::Result<bool> RegistryAuth::challenged(const transfer::HttpHead& reply, const base::Secret& used,
                                            const std::stop_token& stop) {
    const std::lock_guard lock(mutex_);
    if (const auto now = header(); !now.empty() && !(now == used)) {
        return true; // another download has renewed it in the meantime
    }
    const auto challenges = parse_challenges(reply.headers.all("WWW-Authenticate"));
    for (const auto& challenge : challenges) {
        if (challenge.scheme == "bearer" && !parameter(challenge, "realm").empty()) {
            return use_bearer(challenge, reply, stop);
        }
    }
    for (const auto& challenge : challenges) {
        if (challenge.scheme == "basic") {
            return use_basic(used);
        }
    }
    return false;
}

base::Result<const credentials::Credential*> RegistryAuth::credential() {
    if (!searched_ && options_.find_credential) {
        TRY_ASSIGN(credential_, options_.find_credential());
    }
    searched_ = true;
    const credentials::Credential* found = credential_ ? &*credential_ : nullptr;
    return found;
}

base::Result<bool> RegistryAuth::use_basic(const base::Secret& used) {
    if (scheme_ == Scheme::basic && !used.empty()) {
        return false; // the registry does not like them
    }
    TRY_ASSIGN(const auto* found, credential());
    if (found == nullptr || found->password.empty()) {
        return false;
    }
    scheme_ = Scheme::basic;
    sent_credential_ = true;
    return true;
}

base::Result<bool> RegistryAuth::use_bearer(const Challenge& challenge, const transfer::HttpHead& reply,
                                            const std::stop_token& stop) {
    auto realm = transfer::Url::parse(parameter(challenge, "realm"));
    if (!realm) {
        return base::Unexpected(std::move(realm).error().context(fmt::format(
            "{} names a token service that cannot be used", options_.registry.host_port())));
    }
    TRY(check_realm(*realm, reply));
    const bool had_anonymous_token = scheme_ == Scheme::bearer && !with_credential_;
    service_.realm = realm->text();
    service_.service = parameter(challenge, "service");
    service_.merge_scopes(parameter(challenge, "scope"));
    if (service_.scopes.empty()) {
        service_.merge_scopes("repository:" + options_.repository + ":pull");
    }
    scheme_ = Scheme::bearer;
    TRY_ASSIGN(const auto* found, credential());
    if (!options_.anonymous_first || had_anonymous_token) {
        with_credential_ = found != nullptr;
    }
    auto got = get_token(stop);
    const bool denied = !got && got.error().code == Code::source_denied;
    if (denied && !with_credential_ && found != nullptr) {
        with_credential_ = true;
        got = get_token(stop);
    }
    if (!got) {
        return base::Unexpected(std::move(got).error());
    }
    return true;
}

base::Result<void> RegistryAuth::check_realm(const transfer::Url& realm, const transfer::HttpHead& reply) {
    const auto& registry = options_.registry;
    const auto& plain_ok = options_.context.plain_http_ok;
    if (realm.plain_http() &&
        (!registry.plain_http() ||
         (realm.host != registry.host && !(plain_ok && plain_ok(realm))))) {
        return fail(Code::source_protocol,
                    fmt::format("{} names the token service {}, which is not https",
                                registry.host_port(), realm.origin()),
                    "credentials are not sent in the clear; the registry must be repaired");
    }
    realm_public_only_ = !options_.registry_trusted && realm.host != registry.host &&
                         (reply.proxied || reply.peer == transfer::AddressKind::global);
    return {};
}

transfer::HttpRequest RegistryAuth::realm_request(transfer::Url url) const {
    transfer::HttpRequest request;
    request.url = std::move(url);
    request.ca_file = options_.ca_file;
    request.public_only = realm_public_only_;
    return request;
}

base::Result<void> RegistryAuth::get_token(const std::stop_token& stop) {
    const credentials::Credential* with = with_credential_ && credential_ ? &*credential_ : nullptr;
    auto token = request_token(with, stop);
    if (!token) {
        auto error = std::move(token).error();
        if (with != nullptr && error.code == Code::source_denied) {
            error.hint = doubt_about(*with);
        }
        return base::Unexpected(std::move(error).context("cannot get a token"));
    }
    token_ = std::move(token->value);
    token_end_ = Clock::now() + token->lifetime - renew_before;
    sent_credential_ = sent_credential_ || with != nullptr;
    return {};
}

base::Result<Token> RegistryAuth::request_token(const credentials::Credential* with, const std::stop_token& stop) {
    if (with != nullptr && !with->identity_token.empty()) {
        TRY_ASSIGN(auto token, exchange_identity(*with, stop));
        if (token) {
            return std::move(*token);
        }
    }
    const bool basic = with != nullptr && !with->password.empty();
    TRY_ASSIGN(auto url, token_url(service_, basic ? with->username : std::string_view()));
    transfer::FetchRequest request{realm_request(std::move(url)), nullptr};
    if (basic) {
        request.http.authorization = credentials::basic_authorization(*with);
    }
    auto context = options_.context;
    context.stop = stop;
    TRY_ASSIGN(auto reply, transfer::fetch(context, request, max_token_body));
    const base::WipeAtEnd wiping(reply.body);
    if (reply.head.status != 200) {
        return base::Unexpected(transfer::status_error(reply.url, reply.head, reply.body));
    }
    return parse_token(reply.body);
}

/// The OAuth2 way (POST). Nothing when the service does not know it.
base::Result<std::optional<Token>> RegistryAuth::exchange_identity(const credentials::Credential& with,
                                                                   const std::stop_token& stop) {
    TRY_ASSIGN(auto url, transfer::Url::parse(service_.realm));
    transfer::FetchRequest request{realm_request(std::move(url)), nullptr};
    request.http.method = "POST";
    request.http.headers.emplace_back("Content-Type", "application/x-www-form-urlencoded");
    request.http.body = token_form(service_, with.identity_token);
    auto context = options_.context;
    context.stop = stop;
    TRY_ASSIGN(auto reply, transfer::fetch(context, request, max_token_body));
    const base::WipeAtEnd wiping(reply.body);
    if (reply.head.status == 404 || reply.head.status == 405) {
        return std::optional<Token>();
    }
    if (reply.head.status != 200) {
        return base::Unexpected(transfer::status_error(reply.url, reply.head, reply.body));
    }
    TRY_ASSIGN(auto token, parse_token(reply.body));
    return std::optional<Token>(std::move(token));
}

base::Result<bool> RegistryAuth::escalate(const std::stop_token& stop) {
    const std::lock_guard lock(mutex_);
    if (scheme_ != Scheme::bearer || with_credential_) {
        return false;
    }
    TRY_ASSIGN(const auto* found, credential());
    if (found == nullptr) {
        return false;
    }
    with_credential_ = true;
    TRY(get_token(stop));
    return true;
}

bool RegistryAuth::used_credentials() const {
    const std::lock_guard lock(mutex_);
    return sent_credential_;
}

bool RegistryAuth::used_users_own() const {
    const std::lock_guard lock(mutex_);
    return sent_credential_ && credential_ && credential_->users_own();
}

std::string RegistryAuth::doubt() const {
    const std::lock_guard lock(mutex_);
    return sent_credential_ && credential_ ? doubt_about(*credential_) : std::string();
}

} // namespace slipway::prefetch::sources
