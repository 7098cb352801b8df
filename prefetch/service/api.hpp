// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "prefetch/service/image_watch.hpp"
#include "prefetch/service/job_table.hpp"
#include "prefetch/service/metrics.hpp"
#include "prefetch/stage/api_version.hpp"
#include "store/store.hpp"

#include <functional>
#include <optional>
#include <span>
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
    std::string api; ///< header Slipway-Api, "" when absent (curl)
    std::string body;
    Peer peer;
};

struct ApiResponse {
    unsigned status = 200;
    std::string content_type = "application/json";
    std::string body;
    /// Set for GET …/events: the connection streams this job's events instead of `body`.
    std::shared_ptr<Job> stream;
};

/// Answers requests by a table of routes. Everything that touches the disk happens off the control
/// thread: looks for single images through ImageWatch, what may take long (listings, changes)
/// through `disk`.
class Api {
  public:
    using Reply = std::function<void(ApiResponse)>;

    /// `looks` and `disk` are two threads, so that a long listing delays no look for an image.
    Api(JobTable& table, Metrics& metrics, const store::Store& store, uid_t admin, OffThread looks,
        OffThread disk);

    /// Answers at once or later, at most once, on the control thread; a reply that is dropped instead
    /// of called (an exception on the way) ends the connection.
    void handle(const ApiRequest& request, const Reply& reply);

    void tick(Clock::time_point now) { watch_.tick(now); }

    enum class Access {
        anybody,
        askers, ///< those who asked for the job, root and the service's user; it is unknown to others
        admin,  ///< root and the service's user
    };
    /// One request that a route fits.
    struct Call {
        const ApiRequest& request;
        std::string_view id;       ///< what stands for {id} in the pattern
        std::string_view query;    ///< after the '?'
        std::shared_ptr<Job> job;  ///< Access::askers: the job `id`
    };
    struct Route {
        std::string_view method;
        std::string_view pattern; ///< "{id}" stands for one part of the path
        Access access;
        void (Api::*handler)(const Call& call, const Reply& reply);
    };
    /// The whole interface.
    static std::span<const Route> routes() noexcept;

  private:
    void health(const Call& call, const Reply& reply);
    void metrics(const Call& call, const Reply& reply);
    void submit(const Call& call, const Reply& reply);
    void list(const Call& call, const Reply& reply);
    void show(const Call& call, const Reply& reply);
    void events(const Call& call, const Reply& reply);
    void remove(const Call& call, const Reply& reply);
    void pin(const Call& call, const Reply& reply);
    void unpin(const Call& call, const Reply& reply);

    [[nodiscard]] bool is_admin(uid_t uid) const noexcept { return uid == 0 || uid == admin_; }
    void answer_submit(const stage::StageRequest& request, bool detached, const Reply& reply);
    void answer_job(const std::shared_ptr<Job>& job, uid_t uid, const Reply& reply,
                    std::function<void()> answer);
    void change(const Reply& reply, std::function<base::Result<void>(const store::Store&)> work);
    void off_thread(const Reply& reply, std::function<ApiResponse()> work);

    JobTable& table_;
    Metrics& metrics_;
    const store::Store& store_;
    uid_t admin_;
    OffThread disk_;
    ImageWatch watch_;
};

/// {"code","message","hint"} with the HTTP status that fits the code.
ApiResponse error_response(const base::Error& error);

/// The body of POST /v1/images: reference, platform, pull, detach; anything else is refused.
base::Result<std::pair<stage::StageRequest, bool>> parse_submit(std::string_view body, uid_t uid);

/// The query of DELETE: "force=1" (or true) and "force=0" (or false); Code::usage for anything else.
base::Result<bool> parse_force(std::string_view query);

} // namespace slipway::prefetch::service
