// SPDX-License-Identifier: Apache-2.0
// For .cpp files that put an event, or read one, as a part of another JSON document.
#pragma once

#include "base/json.hpp"
#include "prefetch/stage/events.hpp"

namespace slipway::prefetch::stage {

/// See event_line().
base::json::OrderedValue event_object(const Event& event);
/// {"code", "message", "hint"}: how an error travels.
base::json::OrderedValue error_object(const base::Error& error);

/// See parse_event().
base::Result<std::optional<Event>> read_event(const base::json::Value& object);
/// Nothing when the object is not how an error travels.
std::optional<base::Error> read_error(const base::json::Value& object);

} // namespace slipway::prefetch::stage
