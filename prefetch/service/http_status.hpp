// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/error_codes.hpp"

#include <array>
#include <cstddef>

namespace slipway::prefetch::service {

struct StatusRow {
    base::Code code;
    unsigned status;
};

/// The HTTP status of every error: 4xx where the request or the one who asks has to change, 5xx
/// where the service, its host or a registry has.
inline constexpr std::array http_statuses = {
    StatusRow{base::Code::internal, 500},
    StatusRow{base::Code::usage, 400},
    StatusRow{base::Code::io, 500},
    StatusRow{base::Code::system, 500},
    StatusRow{base::Code::out_of_space, 507},
    StatusRow{base::Code::interrupted, 503},
    StatusRow{base::Code::timed_out, 504},
    StatusRow{base::Code::limit_exceeded, 422},
    StatusRow{base::Code::unsupported, 422},
    StatusRow{base::Code::config_missing, 500},
    StatusRow{base::Code::config_invalid, 500},
    StatusRow{base::Code::config_insecure, 500},
    StatusRow{base::Code::policy_denied, 403},
    StatusRow{base::Code::option_invalid, 400},
    StatusRow{base::Code::option_too_long, 400},
    StatusRow{base::Code::option_conflict, 409},
    StatusRow{base::Code::reference_invalid, 400},
    StatusRow{base::Code::mount_invalid, 400},
    StatusRow{base::Code::image_not_found, 404},
    StatusRow{base::Code::image_unreadable, 422},
    StatusRow{base::Code::image_format, 422},
    StatusRow{base::Code::image_corrupt, 422},
    StatusRow{base::Code::image_architecture, 422},
    StatusRow{base::Code::image_unsupported, 422},
    StatusRow{base::Code::image_exists, 409},
    StatusRow{base::Code::mount_source_missing, 500},
    StatusRow{base::Code::mount_target_invalid, 500},
    StatusRow{base::Code::mount_failed, 500},
    StatusRow{base::Code::workdir_missing, 500},
    StatusRow{base::Code::command_not_found, 500},
    StatusRow{base::Code::fuse_unavailable, 500},
    StatusRow{base::Code::userns_unavailable, 500},
    StatusRow{base::Code::launcher_failed, 500},
    StatusRow{base::Code::launcher_lost, 500},
    StatusRow{base::Code::plugin_misconfigured, 500},
    StatusRow{base::Code::source_not_found, 404},
    StatusRow{base::Code::source_unreachable, 502},
    StatusRow{base::Code::source_denied, 403},
    StatusRow{base::Code::source_protocol, 502},
    StatusRow{base::Code::source_rate_limited, 503},
    StatusRow{base::Code::platform_mismatch, 422},
    StatusRow{base::Code::digest_mismatch, 422},
    StatusRow{base::Code::layer_invalid, 422},
    StatusRow{base::Code::media_type, 422},
    StatusRow{base::Code::credentials_invalid, 500},
    StatusRow{base::Code::store_unusable, 500},
    StatusRow{base::Code::store_corrupt, 500},
    StatusRow{base::Code::quota_exceeded, 507},
    StatusRow{base::Code::not_staged, 404},
    StatusRow{base::Code::service_unreachable, 503},
    StatusRow{base::Code::service_protocol, 400},
    StatusRow{base::Code::service_busy, 429},
};

#define SLIPWAY_X(name, text) base::Code::name,
static_assert([] {
    constexpr base::Code all[] = {SLIPWAY_ERROR_CODES(SLIPWAY_X)};
    std::size_t row = 0;
    for (const auto code : all) {
        if (row == http_statuses.size() || http_statuses[row].code != code) {
            return false;
        }
        ++row;
    }
    return row == http_statuses.size();
}(), "every error code has one row, in the order of error_codes.hpp");
#undef SLIPWAY_X

constexpr unsigned http_status(base::Code code) noexcept {
    return http_statuses[static_cast<std::size_t>(code)].status;
}

} // namespace slipway::prefetch::service
