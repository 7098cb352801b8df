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

bool is_digest_pinned(const StageRequest& request) {
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

std::string JobTable::job_id(const StageRequest& request) {
    // Whoever asks for a fresh look shares work only with others who do.
    const std::string_view pull = request.pull == PullPolicy::always  ? "always"
                                  : request.pull == PullPolicy::never ? "never"
                                                                      : "missing";
    std::string key(pull);
    key += '\n' + request.platform + '\n' + request.reference;
    return image::sha256_hex(key).substr(0, 32);
}

base::Result<std::shared_ptr<Job>> JobTable::submit(const StageRequest& request, bool detached,
                                                    Clock::time_point now) {
    const auto id = job_id(request);
    if (const auto known = jobs_.find(id); known != jobs_.end()) {
        auto& job = *known->second;
        const auto age = now - job.finished;
        const bool done = job.state == JobState::ready || job.state == JobState::failed;
        const bool valid =
            !done ||
            (job.state == JobState::failed && age < limits_.failed_ttl) ||
            (job.state == JobState::ready && request.pull != PullPolicy::always &&
             (age < limits_.ready_ttl || is_digest_pinned(request)));
        if (valid && !(job.cancel.stop_requested() && !done)) {
            job.last_interest = now;
            job.detached = job.detached || detached;
            return known->second;
        }
        if (!done) {
            return base::fail(base::Code::service_busy,
                              "the work on this image is being cancelled",
                              "ask again in a moment");
        }
        jobs_.erase(known);
    }
    auto& queue = queues_[request.uid];
    if (queue.size() >= limits_.queued_per_user) {
        return base::fail(base::Code::service_busy, "too many images of yours are waiting already",
                          "wait until some are ready");
    }
    auto job = std::make_shared<Job>();
    job->id = id;
    job->request = request;
    job->detached = detached;
    job->created = job->last_interest = now;
    job->last_event = progress_line({Phase::queued, queued() + 1, 0, {}});
    jobs_.emplace(id, job);
    if (queue.empty()) {
        turns_.push_back(request.uid);
    }
    queue.push_back(id);
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

std::size_t JobTable::queued() const noexcept {
    std::size_t count = 0;
    for (const auto& [uid, queue] : queues_) {
        count += queue.size();
    }
    return count;
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

void JobTable::progressed(const std::string& id, const StageProgress& progress,
                          Clock::time_point now) {
    const auto job = find(id);
    if (!job || job->state != JobState::running) {
        return;
    }
    auto line = progress_line(progress);
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
}

void JobTable::finished(const std::string& id, base::Result<StagedImage> result,
                        Clock::time_point now) {
    const auto job = find(id);
    if (!job || job->state != JobState::running) {
        return;
    }
    give_back(*job);
    if (result) {
        job->image = std::move(*result);
        end(*job, JobState::ready, ready_line(job->image), now);
    } else {
        job->error = std::move(result.error());
        end(*job, JobState::failed, failed_line(job->error), now);
    }
    pump(now);
}

void JobTable::give_back(const Job& job) {
    --running_;
    if (--running_of_[job.request.uid] == 0) {
        running_of_.erase(job.request.uid);
    }
}

void JobTable::abandoned(const std::string& id) {
    if (const auto job = find(id); job && job->state == JobState::running) {
        give_back(*job);
        job->state = JobState::failed;
    }
}

/// Starts what may start: users take turns, nobody runs more than his share.
void JobTable::pump(Clock::time_point now) {
    std::size_t passed_over = 0;
    while (running_ < limits_.workers && passed_over < turns_.size()) {
        const uid_t uid = turns_.front();
        turns_.pop_front();
        auto& queue = queues_[uid];
        const auto running = running_of_.find(uid);
        if (running != running_of_.end() && running->second >= limits_.per_user) {
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
            continue; // cancelled while it waited
        }
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
        switch (job.state) {
        case JobState::queued:
            if (unwanted) {
                it = jobs_.erase(it); // pump() passes over its id
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
}

} // namespace slipway::prefetch::service
