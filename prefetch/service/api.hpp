// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "prefetch/service/job_table.hpp"
#include "prefetch/service/metrics.hpp"
#include "prefetch/stage/api_version.hpp"
#include "store/store.hpp"

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace slipway::prefetch::service {

/// Who asks, as the kernel says (SO_PEERCRED); nothing in a request can change it.
struct Peer {
    uid_t uid = 0;
    pid_t pid = -1;
};

struct ApiRequest {
    std::string method;
    std::string target;
    std::string api;  ///< header Slipway-Api, "" when absent (curl)
    std::string body;
    Peer peer;
};

struct ApiResponse {
    unsigned status = 200;
    std::string content_type = "application/json";
    std::string body;
    /// Set for GET …/events: the connection streams this job's lines instead of `body`.
    std::shared_ptr<Job> stream;
};

/// The routes. Everything that touches the disk goes through `disk`, which calls back on the control
/// thread, so that a slow file system never stops the control thread.
class Api {
  public:
    using Reply = std::function<void(ApiResponse)>;
    using DiskWork = std::function<std::function<void()>()>; ///< runs on a worker; its result here
    using Disk = std::function<void(DiskWork)>;

    Api(JobTable& table, Metrics& metrics, const store::Store& store, uid_t admin, Disk disk);

    /// Answers at once or later, exactly once, on the control thread.
    void handle(const ApiRequest& request, const Reply& reply);

  private:
    ApiResponse submit(const ApiRequest& request);
    ApiResponse job(std::string_view id, bool events);
    void images(uid_t asker, const Reply& reply);
    void change_image(const ApiRequest& request, std::string_view id, std::string_view action,
                      const Reply& reply);
    void renew_grant(const Job& job, uid_t uid);

    JobTable& table_;
    Metrics& metrics_;
    const store::Store& store_;
    uid_t admin_;
    Disk disk_;
    std::map<std::pair<std::string, uid_t>, Clock::time_point> granted_;
};

/// {"code","message","hint"} with the HTTP status that fits the code.
ApiResponse error_response(const base::Error& error);

/// The body of POST /v1/images: reference, platform, pull, detach; anything else is refused.
base::Result<std::pair<stage::StageRequest, bool>> parse_submit(std::string_view body, uid_t uid);

} // namespace slipway::prefetch::service
