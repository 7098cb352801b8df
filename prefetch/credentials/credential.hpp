// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/secret.hpp"

#include <string>

namespace slipway::prefetch::credentials {

/// Where a credential was found. What is pulled with a user's own credentials is private to that
/// user; what is pulled with the site's is an image of the site.
enum class CredentialOrigin { option, environment, auth_file, helper, site };

struct Credential {
    std::string username;
    base::Secret password;
    base::Secret
        identity_token; ///< a refresh token in place of a password; username is then of no use
    CredentialOrigin origin = CredentialOrigin::option;

    [[nodiscard]] bool users_own() const noexcept { return origin != CredentialOrigin::site; }
};

/// "Basic …": value of an Authorization header.
base::Secret basic_authorization(const Credential& credential);

} // namespace slipway::prefetch::credentials
