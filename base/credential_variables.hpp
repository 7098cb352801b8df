// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <string_view>

namespace slipway::base {

/// A pair of environment variables with a name and a password for registries.
struct CredentialVariables {
    std::string_view username;
    std::string_view password;
    /// Only one of the two is set: an error for names of our own and of this family; others use the
    /// general ones for other purposes, too.
    bool must_be_complete;
};

/// All variables that hold a secret and are read as one, the first complete pair wins. Whoever
/// reads credentials takes them from here, and so does whoever keeps them away from nodes and
/// containers. (Paths of credential files, such as $REGISTRY_AUTH_FILE, are no secrets.)
inline constexpr std::array credential_variables{
    CredentialVariables{"SLIPWAY_DOCKER_USERNAME", "SLIPWAY_DOCKER_PASSWORD", true},
    CredentialVariables{"SINGULARITY_DOCKER_USERNAME", "SINGULARITY_DOCKER_PASSWORD", true},
    CredentialVariables{"APPTAINER_DOCKER_USERNAME", "APPTAINER_DOCKER_PASSWORD", true},
    CredentialVariables{"DOCKER_USERNAME", "DOCKER_PASSWORD", false},
};

} // namespace slipway::base
