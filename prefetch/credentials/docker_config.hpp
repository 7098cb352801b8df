// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.hpp"
#include "prefetch/credentials/credential.hpp"

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace slipway::prefetch::credentials {

/// The parts of docker's config.json (also podman's auth.json) that hold credentials. Keys are
/// normalised (credential_key()).
struct DockerConfig {
    std::map<std::string, Credential> auths;
    std::map<std::string, std::string> helpers; ///< credHelpers: key -> helper name
    std::string store;                          ///< credsStore: helper name for everything else
};

/// At most 1 MiB and 64 levels. Entries that hold no credential (docker leaves {} where a helper has
/// it) are skipped; one whose "auth" cannot be decoded is Code::credentials_invalid. Messages never
/// contain values.
base::Result<DockerConfig> parse_docker_config(std::string_view text);

/// One spelling for a registry: scheme, "/v1/", "/v2/" and slashes at the end taken off, the host as
/// base::canonical_registry_host() has it. A path behind the host is kept.
std::string credential_key(std::string_view written);

/// Keys under which credentials for a repository may stand, most specific first:
/// host/a/b, host/a, host.
std::vector<std::string> credential_keys(std::string_view host, std::string_view repository);

/// The answer of `docker-credential-NAME get`: {"ServerURL","Username","Secret"}. Username
/// "<token>" marks an identity token.
base::Result<Credential> parse_helper_answer(std::string_view text);

/// The credentials of enroot (netrc: machine, login, password). Passwords that enroot would hand to
/// a shell ("$(…)", "${…}", "$NAME") are left out and counted, never evaluated.
struct Netrc {
    std::map<std::string, Credential> machines;
    int skipped = 0;
};
Netrc parse_netrc(std::string_view text);

} // namespace slipway::prefetch::credentials
