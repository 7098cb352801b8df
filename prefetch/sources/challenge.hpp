// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.hpp"
#include "base/secret.hpp"
#include "prefetch/transfer/url.hpp"

#include <chrono>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace slipway::prefetch::sources {

/// One challenge of WWW-Authenticate (RFC 9110 section 11.6.1). Names are lower case.
struct Challenge {
    std::string scheme; ///< "bearer", "basic", …
    std::map<std::string, std::string> parameters;
};

/// All challenges of all WWW-Authenticate fields of a reply. Servers disagree about commas and
/// quotes: what cannot be read is left out, what comes before it is kept. At most 16 challenges.
std::vector<Challenge> parse_challenges(const std::vector<std::string>& fields);

/// How to get a token (distribution's "Token Authentication Specification").
struct TokenService {
    std::string realm; ///< URL as the registry wrote it
    std::string service;
    std::vector<std::string> scopes;

    /// Adds the challenge's scopes to those known.
    void merge_scopes(std::string_view space_separated);
};

/// URL for GET: the realm with service, one `scope` for each scope, and `account` when not empty.
base::Result<transfer::Url> token_url(const TokenService& service, std::string_view account);

/// Form for POST with an identity token (grant_type=refresh_token). Secret: it holds the token.
base::Secret token_form(const TokenService& service, const base::Secret& identity_token);

struct Token {
    base::Secret value;
    std::chrono::seconds lifetime{60}; ///< what the service promised, at least 60 s, at most a day
};

/// {"token" or "access_token", "expires_in"}. Code::source_protocol when there is no token in it.
base::Result<Token> parse_token(std::string_view body);

} // namespace slipway::prefetch::sources
