// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.hpp"

#include <sys/types.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace slipway::launcher {

/// Who the container's processes are, as the host's name service knows them.
struct UserFacts {
    uid_t uid = 0;
    gid_t gid = 0;
    std::string name; ///< "" when the name service does not know the uid
    std::string gecos;
    std::string home;                                  ///< absolute; "/" when unknown
    std::string shell;                                 ///< "/bin/sh" when unknown
    std::vector<std::pair<gid_t, std::string>> groups; ///< primary first; names may be ""
    /// What the host has to be shown at `home`, where that is another directory; else "".
    std::string host_home{};
};

/// Asks the host's name service (files, SSSD, LDAP, nss_slurm, …) about the calling process' user
/// and groups. Must run before the root directory changes. A user without an entry is no error.
base::Result<UserFacts> look_up_user();

/// /etc/passwd for the container: the image's text with the user's line added or, when it is there,
/// with its home directory changed to `home`, the home directory inside.
std::string passwd_text(std::string_view image_text, const UserFacts& user, std::string_view home);

/// /etc/group for the container: the image's text and a line for each of the user's groups whose
/// number it lacks.
std::string group_text(std::string_view image_text, const UserFacts& user);

} // namespace slipway::launcher
