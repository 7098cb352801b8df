// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/join/request.hpp"

#include <string>
#include <vector>

namespace slipway::spank {

using launcher::join::Switch;

/// What all options together ask for. Which option fills which member, and how, is said by the rows
/// of option_table.hpp and nowhere else; where the image is follows from staging.
struct Settings {
    std::string image;    ///< as typed, or pinned by staging; empty: no container
    std::string image_id; ///< of an image that was staged; else empty
    std::string image_store; ///< root of the user's own store, where it is; empty: the site's
    std::string path;     ///< absolute path of any other image; empty until it has been resolved
    std::string mounts;
    std::string workdir;
    std::vector<std::string> environment; ///< names whose host value wins over the image's
    Switch mount_home = Switch::site_default;
    Switch writable = Switch::site_default;
    Switch batch = Switch::site_default;

    [[nodiscard]] bool wants_container() const noexcept { return !image.empty(); }
    bool operator==(const Settings&) const = default;
};

} // namespace slipway::spank
