// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.hpp"
#include "prefetch/transfer/client.hpp"

#include <string>
#include <string_view>

namespace slipway::prefetch::transfer {

/// Readable text of an error body, "" when it holds none: the registry form
/// {"errors":[{"code","message","detail"}]} (OCI distribution-spec 1.1, "Error codes"), the token
/// service's {"details"} or {"error","error_description"}, docker's {"message"}, or a short plain
/// text. At most 300 characters, printable.
std::string error_text(std::string_view body);

/// The error of a reply whose status is not what was wanted: 401 and 403 Code::source_denied, 404
/// source_not_found, 429 source_rate_limited, 408 and 5xx source_unreachable, else source_protocol.
base::Error status_error(const Url& url, const HttpHead& head, std::string_view body);

} // namespace slipway::prefetch::transfer
