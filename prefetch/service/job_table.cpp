// SPDX-License-Identifier: Apache-2.0
#include "prefetch/service/job_table.hpp"

#include "image/digest.hpp"

#include <algorithm>

namespace slipway::prefetch::service {
namespace {

/// A line of progress goes to every listener. With ten thousand of them the lines come less often,
/// so that telling about the work never costs more than a small share of one core.
Clock::duration broadcast_interval(std::size_t listeners) {
    return std::chrono::milliseconds(200) + std::chrono::microseconds(300) * listeners;
}

bool is_digest_pinned(const stage::StageRequest& request) {
    return request.reference.find("@sha256:") != std::string::npos;
}

} // namespace

std::string_view state_name(JobState state) noexcept {
    switch (state) {
    case JobState::queued:
        return "queued";
    case JobState::running:
        return "running";
    case JobState::ready:
        return "ready";
    case JobState::failed:
        return "failed";
    }
    return "failed";
}

JobTable::JobTable(TableLimits limits, StartWork start)
    : limits_(limits), start_(std::move(start)) {}

std::string JobTable::job_id(const stage::StageRequest& request) {
    // Whoever asks for a fresh look shares work only with others who do.
    const std::string_view pull = request.pull == stage::PullPolicy::always  ? "always"
                                  : request.pull == stage::PullPolicy::never ? "never"
                                                                      : "missing";
    std::string key(pull);
    key += '\n' + request.platform + '\n' + request.reference;
    return image::sha256_hex(key).substr(0, 32);
}

base::Result<std::shared_ptr<Job>> JobTable::submit(const stage::StageRequest& request, bool detached,
                                                    Clock::time_point now) {
    const auto id = job_id(request);
    if (const auto known = jobs_.find(id); known != jobs_.end()) {
        auto& job = *known->second;
        const auto age = now - job.finished;
        const bool done = job.state == JobState::ready || job.state == JobState::failed;
        const bool valid =
            !done ||
            (job.state == JobState::failed && age < limits_.failed_ttl) ||
            (job.state == JobState::ready && request.pull != stage::PullPolicy::always &&
             (age < limits_.ready_ttl || is_digest_pinned(request)));
        if (valid && !(job.cancel.stop_requested() && !done)) {
            join(job, request, detached, now);
            return known->second;
        }
        if (!done) {
            return base::fail(base::Code::service_busy,
                              "the work on this image is being cancelled",
                              "ask again in a moment");
        }
        jobs_.erase(known);
    }
    return make(request, detached, id, now);
}

/// One more asker. Work that still waits gets a place in his queue too, so that it begins when the
/// first of its askers has his turn: nobody delays an image by asking for it behind much else.
void JobTable::join(Job& job, const stage::StageRequest& request, bool detached, Clock::time_point now) {
    job.last_interest = now;
    job.detached = job.detached || detached;
    const bool is_new = job.askers.insert(request.uid).second;
    const auto queue = queues_.find(request.uid);
    if (is_new && job.state == JobState::queued &&
        (queue == queues_.end() || queue->second.size() < limits_.queued_per_user)) {
        enqueue(request.uid, job.id);
        pump(now);
    }
}

void JobTable::enqueue(uid_t uid, const std::string& id) {
    auto& queue = queues_[uid];
    if (queue.empty()) {
        turns_.push_back(uid);
    }
    queue.push_back(id);
}

base::Result<std::shared_ptr<Job>> JobTable::make(const stage::StageRequest& request, bool detached,
                                                  const std::string& id, Clock::time_point now) {
    const auto queue = queues_.find(request.uid);
    if (queue != queues_.end() && queue->second.size() >= limits_.queued_per_user) {
        return base::fail(base::Code::service_busy, "too many images of yours are waiting already",
                          "wait until some are ready");
    }
    auto job = std::make_shared<Job>();
    job->id = id;
    job->request = request;
    job->askers.insert(request.uid);
    job->detached = detached;
    job->created = job->last_interest = now;
    job->last_event = stage::progress_line({stage::Phase::queued, queued() + 1, 0, {}});
    jobs_.emplace(id, job);
    ++queued_;
    enqueue(request.uid, id);
    pump(now);
    return job;
}

std::shared_ptr<Job> JobTable::find(const std::string& id) const {
    const auto found = jobs_.find(id);
    return found == jobs_.end() ? nullptr : found->second;
}

std::vector<std::shared_ptr<Job>> JobTable::all() const {
    std::vector<std::shared_ptr<Job>> list;
    list.reserve(jobs_.size());
    for (const auto& [id, job] : jobs_) {
        list.push_back(job);
    }
    std::sort(list.begin(), list.end(),
              [](const auto& a, const auto& b) { return a->created < b->created; });
    return list;
}

void JobTable::listen(Job& job, Listener& listener) {
    const bool done = job.state == JobState::ready || job.state == JobState::failed;
    if (!done) {
        job.listeners.insert(&listener);
    }
    listener.event(job.last_event, done);
}

void JobTable::unlisten(Job& job, Listener& listener, Clock::time_point now) {
    if (job.listeners.erase(&listener) != 0) {
        job.last_interest = now;
    }
}

void JobTable::tell(Job& job, const std::string& line, bool last) {
    job.last_event = line;
    // A listener may go away while it is told (its connection broke): iterate over a copy.
    const std::vector<Listener*> told(job.listeners.begin(), job.listeners.end());
    for (auto* listener : told) {
        if (job.listeners.contains(listener)) {
            listener->event(line, last);
        }
    }
    if (last) {
        job.listeners.clear();
    }
}

void JobTable::progressed(const std::string& id, const stage::StageProgress& progress,
                          Clock::time_point now) {
    const auto job = find(id);
    if (!job || job->state != JobState::running) {
        return;
    }
    auto line = stage::progress_line(progress);
    const bool new_phase =
        line.substr(0, line.find(',')) != job->last_event.substr(0, job->last_event.find(','));
    if (new_phase || now - job->last_broadcast >= broadcast_interval(job->listeners.size())) {
        job->last_broadcast = now;
        tell(*job, line, false);
    } else {
        job->last_event = std::move(line);
    }
}

void JobTable::end(Job& job, JobState state, const std::string& line, Clock::time_point now) {
    job.state = state;
    job.finished = now;
    tell(job, line, true);
    // Whoever asks for ever new images fills his own share of the memory, not all of it.
    auto& ended = ended_[job.request.uid];
    ended.push_back(job.id);
    while (ended.size() > limits_.ended_per_user) {
        const auto oldest = jobs_.find(ended.front());
        if (oldest != jobs_.end() && (oldest->second->state == JobState::ready ||
                                      oldest->second->state == JobState::failed)) {
            jobs_.erase(oldest);
        }
        ended.pop_front();
    }
}

void JobTable::finished(const std::string& id, base::Result<stage::StagedImage> result,
                        Clock::time_point now) {
    const auto job = find(id);
    if (!job || job->state != JobState::running) {
        return;
    }
    give_back(*job);
    if (result) {
        job->image = std::move(*result);
        end(*job, JobState::ready, stage::ready_line(job->image), now);
    } else {
        job->error = std::move(result.error());
        end(*job, JobState::failed, stage::failed_line(job->error), now);
    }
    pump(now);
}

void JobTable::give_back(const Job& job) {
    --running_;
    if (--running_of_[job.charged] == 0) {
        running_of_.erase(job.charged);
    }
}

void JobTable::abandoned(const std::string& id) {
    if (const auto job = find(id); job && job->state == JobState::running) {
        give_back(*job);
        job->state = JobState::failed;
    }
}

bool JobTable::may_start(uid_t uid) const {
    const auto running = running_of_.find(uid);
    if (running == running_of_.end()) {
        return running_ < std::size_t{limits_.workers} + limits_.reserve;
    }
    return running_ < limits_.workers && running->second < limits_.per_user;
}

/// Takes work that nobody wants any more out of the queues of all who asked for it.
void JobTable::leave_queues(const Job& job) {
    --queued_;
    for (const auto uid : job.askers) {
        const auto queue = queues_.find(uid);
        if (queue != queues_.end() && std::erase(queue->second, job.id) != 0 &&
            queue->second.empty()) {
            queues_.erase(queue);
            turns_.remove(uid);
        }
    }
}

/// Starts what may start: users take turns, nobody runs more than his share.
void JobTable::pump(Clock::time_point now) {
    std::size_t passed_over = 0;
    while (passed_over < turns_.size()) {
        const uid_t uid = turns_.front();
        turns_.pop_front();
        auto& queue = queues_[uid];
        if (!may_start(uid)) {
            turns_.push_back(uid);
            ++passed_over;
            continue;
        }
        const auto job = find(queue.front());
        queue.pop_front();
        if (queue.empty()) {
            queues_.erase(uid);
        } else {
            turns_.push_back(uid);
        }
        passed_over = 0;
        if (!job || job->state != JobState::queued) {
            continue; // begun already, on the turn of somebody else who asked for it
        }
        --queued_;
        job->charged = uid;
        job->state = JobState::running;
        job->started = now;
        ++running_;
        ++running_of_[uid];
        start_(job);
    }
}

void JobTable::tick(Clock::time_point now) {
    for (auto it = jobs_.begin(); it != jobs_.end();) {
        auto& job = *it->second;
        const bool unwanted = job.listeners.empty() && !job.detached &&
                              now - job.last_interest > limits_.interest_ttl;
        const bool going = job.state == JobState::queued || job.state == JobState::running;
        if (going && !job.listeners.empty() && now - job.last_broadcast >= limits_.silence) {
            job.last_broadcast = now; // a client can tell a long wait from a dead service
            tell(job, std::string(job.last_event), false);
        }
        switch (job.state) {
        case JobState::queued:
            if (unwanted) {
                leave_queues(job);
                it = jobs_.erase(it);
                continue;
            }
            break;
        case JobState::running:
            if (unwanted) {
                job.cancel.request_stop();
            }
            break;
        case JobState::ready:
            // Digest-pinned answers stay a while: they cannot become wrong, only forgotten.
            if (now - std::max(job.finished, job.last_interest) > std::chrono::hours(1)) {
                it = jobs_.erase(it);
                continue;
            }
            break;
        case JobState::failed:
            if (now - job.finished > limits_.interest_ttl) {
                it = jobs_.erase(it);
                continue;
            }
            break;
        }
        ++it;
    }
}

void JobTable::cancel_all() {
    for (auto& [id, job] : jobs_) {
        job->cancel.request_stop();
    }
    queues_.clear();
    turns_.clear();
    queued_ = 0;
}

} // namespace slipway::prefetch::service
