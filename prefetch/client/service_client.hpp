// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "prefetch/staging/stage_types.hpp"

#include <string>

namespace slipway::prefetch::client {

struct ServiceCall {
    std::string socket_path;
    StageRequest request;
    bool detach = false; ///< return as soon as the image is resolved; the service goes on
    int reconnect_s = 60; ///< how long a service that went away in the middle is waited for
};

/// Asks slipwayd for an image and waits until it is ready (or resolved, with `detach`). The
/// service's own errors come back as they are. Code::service_unreachable (see UnixHttp::connect for
/// sys_errno) when there is no service to begin with; one that goes away in the middle is waited for
/// and asked again, which costs nothing that was finished.
base::Result<StagedImage> stage_through_service(const ServiceCall& call, const StageSink& sink,
                                                const std::stop_token& stop);

} // namespace slipway::prefetch::client
