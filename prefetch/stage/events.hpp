// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "prefetch/stage/stage_types.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace slipway::prefetch::stage {

/// What is reported while an image is staged; the last two end the report.
using Event = std::variant<StageProgress, StagedImage, base::Error>;

/// The event as programs read it, in the service's event streams and with --json: one JSON object,
/// "event" first: one of `phases`, ready or failed. Without the newline.
std::string event_line(const Event& event);

/// The other direction. Nothing for an event that this version does not know: within a version of the
/// interface the service may add some. Code::service_protocol for what is no event.
base::Result<std::optional<Event>> parse_event(std::string_view line);

} // namespace slipway::prefetch::stage
