// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.hpp"
#include "config/config.hpp"
#include "prefetch/credentials/credential.hpp"
#include "base/environment.hpp"

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace slipway::prefetch::credentials {

/// Finds the credentials for a registry. Order; the first that says anything wins:
///  1. what the command line gave,
///  2. the pairs of base/credential_variables.hpp, SLIPWAY_DOCKER_USERNAME and _PASSWORD first. A
///     name without a password (or the other way round) is an error, but not of DOCKER_USERNAME and
///     DOCKER_PASSWORD: other programs use those names,
///  3. the auth file: the one given, else the first of these that knows the registry:
///     $REGISTRY_AUTH_FILE, $DOCKER_CONFIG/config.json, ~/.slipway/docker-config.json,
///     ~/.singularity/docker-config.json, ~/.apptainer/docker-config.json, ~/.docker/config.json,
///     $XDG_RUNTIME_DIR/containers/auth.json; in each, credHelpers before credsStore before auths,
///  4. $ENROOT_CONFIG_PATH/.credentials, ~/.config/enroot/.credentials (netrc),
///  5. the site's: username and password_file of the registry in slipway.yaml.
/// Wrong credentials from one place are never replaced by those of another: the error is clearer.
///
/// Runs in the user's own process with the user's rights, except with `site_only`, which is how the
/// service uses it: nothing of 1 to 4 is looked at. Not thread-safe.
class CredentialFinder {
  public:
    struct Options {
        std::optional<Credential> given;
        std::string auth_file; ///< absolute or relative; "" to search
        std::string home;      ///< of the user; "" for none
        base::Environment environment = base::process_environment();
        bool site_only = false;
    };
    /// `config` must outlive the finder.
    CredentialFinder(Options options, const config::Config& config);

    /// What a server is to the reference that the user wrote. Credentials that are not bound to a
    /// host (1 and 2) are meant for the registry in the reference and go to no mirror.
    enum class Role { registry, mirror };

    /// Nothing means anonymous. Code::credentials_invalid for a file or helper that does not work.
    base::Result<std::optional<Credential>> find(std::string_view host, std::string_view repository,
                                                 Role role);

  private:
    base::Result<std::optional<Credential>> from_environment() const;
    base::Result<std::optional<Credential>> from_files(const std::vector<std::string>& keys) const;
    base::Result<std::optional<Credential>>
    from_file(const std::string& path, const std::vector<std::string>& keys, bool must_exist) const;
    base::Result<std::optional<Credential>> from_enroot(std::string_view host) const;
    base::Result<std::optional<Credential>> from_site(std::string_view host) const;
    [[nodiscard]] std::vector<std::string> auth_files() const;

    Options options_;
    const config::Config& config_;
};

/// Asks `docker-credential-NAME get` for a server (its key is written to stdin; nothing secret is in
/// its arguments). Nothing when it does not know the server. The helper is looked for in PATH, runs
/// with the caller's environment and has 30 seconds.
base::Result<std::optional<Credential>> ask_helper(const std::string& name,
                                                   const std::string& server,
                                                   const base::Environment& environment);

} // namespace slipway::prefetch::credentials
