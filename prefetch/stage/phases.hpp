// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "prefetch/stage/stage_types.hpp"

#include <array>
#include <optional>
#include <string_view>

namespace slipway::prefetch::stage {

/// Everything that is said about a phase, to programs and to people. A field that is empty is not
/// part of the phase's event.
struct PhaseRow {
    Phase phase;
    std::string_view event;      ///< value of "event" in the event streams and in --json
    std::string_view done_key;   ///< member that carries StageProgress::done
    std::string_view total_key;  ///< … StageProgress::total
    std::string_view detail_key; ///< … StageProgress::detail
    std::string_view text;       ///< for people; numbers or the detail follow
};

inline constexpr std::array phases = {
    PhaseRow{Phase::queued, "queued", "position", "", "", "queued"},
    PhaseRow{Phase::waiting, "waiting", "", "", "holder", "waiting for "},
    PhaseRow{Phase::resolving, "resolving", "", "", "", "asking for the image"},
    PhaseRow{Phase::resolved, "resolved", "", "", "", "resolved"},
    PhaseRow{Phase::downloading, "downloading", "bytes", "total", "", "downloading"},
    PhaseRow{Phase::converting, "converting", "bytes", "total", "", "converting"},
    PhaseRow{Phase::copying, "copying", "bytes", "total", "", "copying"},
    PhaseRow{Phase::publishing, "publishing", "", "", "", "publishing"},
};
static_assert([] {
    for (std::size_t i = 0; i < phases.size(); ++i) {
        if (static_cast<std::size_t>(phases[i].phase) != i) {
            return false;
        }
    }
    return phases.size() == static_cast<std::size_t>(Phase::publishing) + 1;
}(), "one row for each phase, in order");

constexpr const PhaseRow& row_of(Phase phase) noexcept {
    return phases[static_cast<std::size_t>(phase)];
}

} // namespace slipway::prefetch::stage
