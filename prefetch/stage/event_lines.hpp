// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "prefetch/stage/stage_types.hpp"

#include <string>

namespace slipway::prefetch::stage {

/// How the staging of an image is told to programs, by the service's event streams and by --json:
/// one JSON object a line, "event" first: queued, waiting, resolving, resolved, downloading,
/// converting, publishing, ready, failed. Without the newline.
std::string progress_line(const StageProgress& progress);
std::string ready_line(const StagedImage& image);
std::string failed_line(const base::Error& error);

} // namespace slipway::prefetch::stage
