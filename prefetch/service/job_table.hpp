// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "prefetch/stage/event_lines.hpp"

#include <chrono>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

namespace slipway::prefetch::service {

using Clock = std::chrono::steady_clock;

enum class JobState { queued, running, ready, failed };
std::string_view state_name(JobState state) noexcept;

/// Hears what happens to a job. Owned by its connection; removed from the job before it goes.
class Listener {
  public:
    virtual ~Listener() = default;
    /// One JSON line without the newline. `last`: ready or failed, nothing follows.
    virtual void event(const std::string& line, bool last) = 0;
};

/// One piece of staging work that any number of requests share. Lives on the control thread; the
/// worker sees only `request` and `cancel`, which are safe to share.
struct Job {
    std::string id; ///< 32 hex digits, made from what is asked for: equal requests have equal ids
    stage::StageRequest request;
    std::set<uid_t> askers; ///< everybody who has asked for it
    uid_t charged = 0;      ///< whose share it runs on: the asker whose turn came first
    JobState state = JobState::queued;
    std::string last_event; ///< what a listener that comes now is told first
    stage::StagedImage image;      ///< when ready
    base::Error error;      ///< when failed
    std::set<Listener*> listeners;
    bool detached = false; ///< goes on although nobody listens (sbatch)
    Clock::time_point created, started, finished, last_interest;
    Clock::time_point last_broadcast;
    std::stop_source cancel;
};

struct TableLimits {
    unsigned workers = 2;
    /// More at once, each for a user with nothing running: slow work of a few users, an image on a
    /// registry that hardly answers, never keeps the others waiting.
    unsigned reserve = 1;
    unsigned per_user = 4;                       ///< running at once for one user
    std::size_t queued_per_user = 256;           ///< more are refused with Code::service_busy
    std::size_t ended_per_user = 1000;           ///< ready or failed: the oldest are forgotten
    std::chrono::seconds ready_ttl{60};          ///< a ready tag is answered from memory that long
    std::chrono::seconds failed_ttl{5};          ///< a failure is remembered that long
    std::chrono::seconds interest_ttl{30};       ///< nobody listened or asked that long: cancelled
    std::chrono::seconds silence{30}; ///< listeners hear how it stands at least that often
};

/// All work of the service: who shares it, whose turn it is, who is told. Not thread-safe: belongs
/// to the control thread. No I/O: what has to run is handed to `start`.
class JobTable {
  public:
    using StartWork = std::function<void(std::shared_ptr<Job>)>;
    JobTable(TableLimits limits, StartWork start);

    /// The job for this request: an unfinished or still valid one, or a new one.
    /// Code::service_busy when this user has too much queued already.
    base::Result<std::shared_ptr<Job>> submit(const stage::StageRequest& request, bool detached,
                                              Clock::time_point now);
    std::shared_ptr<Job> find(const std::string& id) const;
    [[nodiscard]] std::vector<std::shared_ptr<Job>> all() const;

    /// Tells the listener how it stands, and from now on everything else.
    void listen(Job& job, Listener& listener);
    void unlisten(Job& job, Listener& listener, Clock::time_point now);

    /// From the worker, by way of the control thread.
    void progressed(const std::string& id, const stage::StageProgress& progress, Clock::time_point now);
    void finished(const std::string& id, base::Result<stage::StagedImage> result, Clock::time_point now);

    /// The service stops and this work was cancelled for it: nobody is told, so that clients see a
    /// broken connection, come back to the next service and ask again.
    void abandoned(const std::string& id);

    /// Every second: cancels what nobody wants, forgets what is old.
    void tick(Clock::time_point now);
    /// Cancels everything (the service stops).
    void cancel_all();
    [[nodiscard]] std::size_t running() const noexcept { return running_; }
    [[nodiscard]] std::size_t queued() const noexcept { return queued_; }

    static std::string job_id(const stage::StageRequest& request);

  private:
    base::Result<std::shared_ptr<Job>> make(const stage::StageRequest& request, bool detached,
                                            const std::string& id, Clock::time_point now);
    void join(Job& job, const stage::StageRequest& request, bool detached, Clock::time_point now);
    void enqueue(uid_t uid, const std::string& id);
    void leave_queues(const Job& job);
    [[nodiscard]] bool may_start(uid_t uid) const;
    void pump(Clock::time_point now);
    void give_back(const Job& job);
    void tell(Job& job, const std::string& line, bool last);
    void end(Job& job, JobState state, const std::string& line, Clock::time_point now);

    TableLimits limits_;
    StartWork start_;
    std::unordered_map<std::string, std::shared_ptr<Job>> jobs_;
    std::map<uid_t, std::deque<std::string>> queues_; ///< ids, per user, oldest first
    std::list<uid_t> turns_;                          ///< users with queued work, next first
    std::map<uid_t, unsigned> running_of_;
    std::map<uid_t, std::deque<std::string>> ended_; ///< ids, per first asker, oldest first
    std::size_t running_ = 0;
    std::size_t queued_ = 0;
};

} // namespace slipway::prefetch::service
