// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/enum_table.hpp"
#include "prefetch/stage/events.hpp"

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
inline constexpr base::EnumTable job_states = std::array{
    base::EnumRow{JobState::queued, "queued"}, base::EnumRow{JobState::running, "running"},
    base::EnumRow{JobState::ready, "ready"}, base::EnumRow{JobState::failed, "failed"}};

/// One event on its way to any number of listeners. Its text is made once, by the first that sends it.
class Report {
  public:
    Report(const stage::Event& event, bool last) : event_(event), last_(last) {}
    [[nodiscard]] const stage::Event& event() const noexcept { return event_; }
    /// Ready or failed: nothing follows.
    [[nodiscard]] bool last() const noexcept { return last_; }
    [[nodiscard]] const std::string& line() const;

  private:
    const stage::Event& event_;
    bool last_;
    mutable std::string line_;
};

/// Hears what happens to a job. Owned by its connection; removed from the job before it goes.
class Listener {
  public:
    virtual ~Listener() = default;
    virtual void event(const Report& report) = 0;
};

/// One piece of staging work that any number of requests share. Lives on the control thread; the
/// worker sees only `request` and `cancel`, which are safe to share.
struct Job {
    std::string id;  ///< 32 random hex digits: a name that nobody can guess
    std::string key; ///< what was asked for: equal requests have equal keys
    stage::StageRequest request;
    std::set<uid_t> askers; ///< everybody who has asked for it; nobody else may see it
    uid_t charged = 0;      ///< whose share it runs on: the asker who could start it first
    JobState state = JobState::queued;
    stage::Event latest; ///< the image when ready, the error when failed
    std::set<Listener*> listeners;
    bool detached = false; ///< goes on although nobody listens (sbatch)
    Clock::time_point created, started, finished, last_interest;
    Clock::time_point last_broadcast;
    std::stop_source cancel;

    [[nodiscard]] bool unfinished() const noexcept {
        return state == JobState::queued || state == JobState::running;
    }
    /// nullptr unless the job is ready.
    [[nodiscard]] const stage::StagedImage* image() const noexcept {
        return std::get_if<stage::StagedImage>(&latest);
    }
};

struct TableLimits {
    unsigned workers = 2;
    /// More at once, each for a user with nothing running: slow work of a few users, an image on a
    /// registry that hardly answers, never keeps the others waiting.
    unsigned reserve = 1;
    unsigned per_user = 4;              ///< running at once for one user
    std::size_t queued_per_user = 256;  ///< more are refused with Code::service_busy
    std::size_t ended_per_user = 1000;  ///< ready or failed: the oldest are forgotten
    std::chrono::seconds ready_ttl{60}; ///< what a tag means is not looked up again that long
    std::chrono::seconds failed_ttl{5}; ///< a failure is remembered that long
    std::chrono::seconds interest_ttl{30}; ///< nobody listened or asked that long: cancelled
    std::chrono::seconds silence{30};      ///< listeners hear how it stands at least that often
};

/// All work of the service: who shares it, which begins next (fair queueing between users), who gets
/// events. Not thread-safe: belongs to the control thread. No I/O: what has to run is handed to
/// `start`; whether an image that is remembered as ready is still there is for the caller to find
/// out (forget()).
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
    /// An ended job whose image has gone: the next request for it is new work.
    void forget(const Job& job);

    /// Reports the current state to the listener, and from now on every change.
    void listen(Job& job, Listener& listener);
    void unlisten(Job& job, Listener& listener, Clock::time_point now);

    /// From the worker, by way of the control thread.
    void progressed(const std::string& id, const stage::StageProgress& progress,
                    Clock::time_point now);
    void finished(const std::string& id, base::Result<stage::StagedImage> result,
                  Clock::time_point now);

    /// The service stops and this work was cancelled for it: nobody gets an event, so that clients see a
    /// broken connection, come back to the next service and ask again.
    void abandoned(const std::string& id);

    /// Every second: cancels what nobody wants, forgets what is old.
    void tick(Clock::time_point now);
    /// Cancels everything (the service stops).
    void cancel_all();
    [[nodiscard]] std::size_t running() const noexcept { return running_; }
    [[nodiscard]] std::size_t queued() const noexcept { return queued_; }

  private:
    base::Result<std::shared_ptr<Job>> make(const stage::StageRequest& request, bool detached,
                                            std::string key, Clock::time_point now);
    void join(Job& job, const stage::StageRequest& request, bool detached, Clock::time_point now);
    void enqueue(uid_t uid, const std::string& id);
    void leave_queues(const Job& job);
    [[nodiscard]] bool is_valid(const Job& job, const stage::StageRequest& request,
                                Clock::time_point now) const;
    [[nodiscard]] bool may_start(uid_t uid) const;
    void start_waiting(Clock::time_point now);
    void release_share(const Job& job);
    void broadcast(Job& job, bool last);
    void end(Job& job, JobState state, stage::Event event, Clock::time_point now);

    TableLimits limits_;
    StartWork start_;
    std::unordered_map<std::string, std::shared_ptr<Job>> jobs_;   ///< by id
    std::unordered_map<std::string, std::shared_ptr<Job>> by_key_; ///< what requests may share
    std::map<uid_t, std::deque<std::string>> queues_; ///< ids, per user, oldest first
    std::list<uid_t> round_;                          ///< users with queued work, next first
    std::map<uid_t, unsigned> running_of_;
    std::map<uid_t, std::deque<std::string>> ended_; ///< ids, per first asker, oldest first
    std::size_t running_ = 0;
    std::size_t queued_ = 0;
};

} // namespace slipway::prefetch::service
