// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/verbs.hpp"

#include <string>

/// Texts made from the verb table and the configuration schema.
namespace slipway::cli {

/// The verb's description. "{transports}" stands for the transports that can be fetched, "{image}" for
/// what IMAGE may be.
std::string explained(const Verb& verb);

std::string overview_text();              ///< `slipway help`
std::string help_text(const Verb& verb);  ///< `slipway help VERB`
std::string usage_text(const Verb& verb); ///< the usage lines only

/// Man pages in roff: "slipway" (1), "exec" and every other verb (1), "srun" (1: the Slurm plugin),
/// "slipway.yaml" (5).
/// Code::usage for other names.
base::Result<std::string> man_page(std::string_view name);

std::string bash_completion();

} // namespace slipway::cli
