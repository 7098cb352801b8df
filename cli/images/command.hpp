// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/temp_dir.hpp"
#include "cli/session.hpp"
#include "cli/verbs.hpp"
#include "config/config.hpp"
#include "prefetch/stage/progress_printer.hpp"
#include "prefetch/staging/stager.hpp"

#include <memory>
#include <optional>
#include <stop_token>
#include <string>

/// Verbs of slipway-images: everything that needs the network, the converter or the store.
namespace slipway::cli::images {

/// Whether the option --disable-cache counts.
enum class Cache { by_option, enabled };

/// Site file and stores as they concern the calling user.
struct Site {
    std::shared_ptr<const config::Config> config;
    store::StoreOptions own;                 ///< where this user stages
    std::vector<store::StoreOptions> others; ///< stores that they may read
    /// With --disable-cache the own store lies here and goes with this object, and there are no others.
    std::optional<base::TempDir> temporary;
};
/// The shared store is a user's own when it belongs to them (the service's user, an administrator), unless
/// SLIPWAY_CACHEDIR says otherwise. Else it is $SLIPWAY_CACHEDIR, the directory slipway in
/// $APPTAINER_CACHEDIR or $SINGULARITY_CACHEDIR, store.user_path, $XDG_CACHE_HOME/slipway or
/// ~/.cache/slipway.
base::Result<Site> find_site(const Session& session, Cache cache = Cache::by_option);

base::Result<std::unique_ptr<prefetch::staging::Stager>> make_stager(const Session& session,
                                                                     const Site& site);
/// Reference, platform and pull policy of this command line.
base::Result<prefetch::stage::StageRequest> stage_request(const Session& session,
                                                          std::string reference);
prefetch::stage::ProgressStyle progress_style(const Session& session);

/// Becomes requested when the user presses Ctrl-C or the process gets a signal to end: the work stops,
/// removes what it has begun, and the program ends with 130. The second signal ends it at once.
std::stop_token interruption();

} // namespace slipway::cli::images
