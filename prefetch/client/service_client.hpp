// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "prefetch/client/unix_http.hpp"
#include "prefetch/stage/stage_types.hpp"

#include <string>

namespace slipway::prefetch::client {

struct ServiceCall {
    std::string socket_path;
    std::string store_path; ///< the site's store, whose owner may run the service; "" for none
    stage::StageRequest request;
    bool detach = false; ///< return as soon as the image is resolved; the service goes on
    int reconnect_s = 60; ///< how long a service that went away in the middle is waited for
};

/// What the service names is run, so only these are believed to be it: root, the caller, the owner
/// of the socket's directory when nobody else can write there, and the owner of the site's store ("":
/// none). Code::config_insecure for anybody else: somebody got the name of the socket.
base::Result<void> check_server(const UnixHttp& http, const std::string& socket_path,
                                const std::string& store_path);

/// Asks slipwayd for an image and waits until it is ready (or resolved, with `detach`). The
/// service's own errors come back as they are. Code::config_insecure: see check_server. Another
/// version of the interface is Code::service_protocol. Code::service_unreachable (see UnixHttp::connect for
/// sys_errno) when there is no service to begin with; one that goes away in the middle is waited for
/// and asked again, which costs nothing that was finished.
base::Result<stage::StagedImage> stage_through_service(const ServiceCall& call, const stage::StageSink& sink,
                                                const std::stop_token& stop);

} // namespace slipway::prefetch::client
