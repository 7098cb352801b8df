// SPDX-License-Identifier: Apache-2.0
#include "prefetch/service/job_table.hpp"

#include "base/text.hpp"

#include <algorithm>
#include <array>

#include <unistd.h>

namespace slipway::prefetch::service {
namespace {

/// A line of progress goes to every listener. With ten thousand of them the lines come less often,
/// so that reporting progress never costs more than a small share of one core.
Clock::duration broadcast_interval(std::size_t listeners) {
    return std::chrono::milliseconds(200) + std::chrono::microseconds(300) * listeners;
}

bool is_digest_pinned(const stage::StageRequest& request) {
    return request.reference.find("@sha256:") != std::string::npos;
}

/// Whoever asks for a fresh look shares work only with others who do.
std::string key_of(const stage::StageRequest& request) {
    return std::string(stage::pull_policies.name(request.pull)) + '\n' + request.platform + '\n' +
           request.reference;
}

std::string random_id() {
    std::array<std::uint8_t, 16> bytes{};
    // Sixteen bytes: getentropy(3) neither fails nor gives less on a system that has booted.
    (void)!::getentropy(bytes.data(), bytes.size());
    return base::to_hex(bytes);
}

} // namespace

const std::string& Report::line() const {
    if (line_.empty()) {
        line_ = stage::event_line(event_);
    }
    return line_;
}

JobTable::JobTable(TableLimits limits, StartWork start)
    : limits_(limits), start_(std::move(start)) {}

bool JobTable::is_valid(const Job& job, const stage::StageRequest& request,
                        Clock::time_point now) const {
    const auto age = now - job.finished;
    switch (job.state) {
    case JobState::queued:
    case JobState::running:
        return true;
    case JobState::ready:
        return request.pull != stage::PullPolicy::always &&
               (age < limits_.ready_ttl || is_digest_pinned(request));
    case JobState::failed:
        // Only for those who saw it fail: an error that comes at once would tell another user that
        // somebody has asked for that name.
        return age < limits_.failed_ttl && job.askers.contains(request.uid);
    }
    return false;
}

base::Result<std::shared_ptr<Job>> JobTable::submit(const stage::StageRequest& request,
                                                    bool detached, Clock::time_point now) {
    auto key = key_of(request);
    if (const auto known = by_key_.find(key); known != by_key_.end()) {
        const auto job = known->second;
        if (job->unfinished() && job->cancel.stop_requested()) {
            return base::fail(base::Code::service_busy, "the work on this image is being cancelled",
                              "ask again in a moment");
        }
        if (is_valid(*job, request, now)) {
            join(*job, request, detached, now);
            return job;
        }
        if (job->state == JobState::failed) {
            by_key_.erase(known); // whoever saw it fail may still ask about it by its id
        } else {
            forget(*job);
        }
    }
    return make(request, detached, std::move(key), now);
}

void JobTable::forget(const Job& job) {
    const auto shared = by_key_.find(job.key);
    if (shared != by_key_.end() && shared->second.get() == &job) {
        by_key_.erase(shared);
    }
    jobs_.erase(std::string(job.id)); // a copy: the job may go with its entry
}

/// One more asker. Work that still waits gets a place in their queue too, so that it begins when the
/// first of its askers may start it: nobody delays an image by asking for it behind much else.
void JobTable::join(Job& job, const stage::StageRequest& request, bool detached,
                    Clock::time_point now) {
    job.last_interest = now;
    job.detached = job.detached || detached;
    const bool is_new = job.askers.insert(request.uid).second;
    const auto queue = queues_.find(request.uid);
    if (is_new && job.state == JobState::queued &&
        (queue == queues_.end() || queue->second.size() < limits_.queued_per_user)) {
        enqueue(request.uid, job.id);
        start_waiting(now);
    }
}

void JobTable::enqueue(uid_t uid, const std::string& id) {
    auto& queue = queues_[uid];
    if (queue.empty()) {
        round_.push_back(uid);
    }
    queue.push_back(id);
}

base::Result<std::shared_ptr<Job>> JobTable::make(const stage::StageRequest& request, bool detached,
                                                  std::string key, Clock::time_point now) {
    const auto queue = queues_.find(request.uid);
    if (queue != queues_.end() && queue->second.size() >= limits_.queued_per_user) {
        return base::fail(base::Code::service_busy, "too many images of yours are waiting already",
                          "wait until some are ready");
    }
    auto job = std::make_shared<Job>();
    job->id = random_id();
    job->key = key;
    job->request = request;
    job->askers.insert(request.uid);
    job->detached = detached;
    job->created = job->last_interest = now;
    job->latest = stage::StageProgress{stage::Phase::queued, queued() + 1, 0, {}};
    jobs_.emplace(job->id, job);
    by_key_.emplace(std::move(key), job);
    ++queued_;
    enqueue(request.uid, job->id);
    start_waiting(now);
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
    const bool last = !job.unfinished();
    if (!last) {
        job.listeners.insert(&listener);
    }
    listener.event(Report(job.latest, last));
}

void JobTable::unlisten(Job& job, Listener& listener, Clock::time_point now) {
    if (job.listeners.erase(&listener) != 0) {
        job.last_interest = now;
    }
}

void JobTable::broadcast(Job& job, bool last) {
    const Report report(job.latest, last);
    // A listener may go away while it gets its event (its connection broke): iterate over a copy.
    const std::vector<Listener*> listeners(job.listeners.begin(), job.listeners.end());
    for (auto* listener : listeners) {
        if (job.listeners.contains(listener)) {
            listener->event(report);
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
    const auto* before = std::get_if<stage::StageProgress>(&job->latest);
    const bool new_phase = before == nullptr || before->phase != progress.phase;
    job->latest = progress;
    if (new_phase || now - job->last_broadcast >= broadcast_interval(job->listeners.size())) {
        job->last_broadcast = now;
        broadcast(*job, false);
    }
}

void JobTable::end(Job& job, JobState state, stage::Event event, Clock::time_point now) {
    job.state = state;
    job.finished = now;
    job.latest = std::move(event);
    broadcast(job, true);
    // Whoever asks for ever new images fills their own share of the memory, not all of it.
    auto& ended = ended_[job.request.uid];
    ended.push_back(job.id);
    while (ended.size() > limits_.ended_per_user) {
        if (const auto oldest = find(ended.front()); oldest && !oldest->unfinished()) {
            forget(*oldest);
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
    release_share(*job);
    if (result) {
        end(*job, JobState::ready, std::move(*result), now);
    } else {
        end(*job, JobState::failed, std::move(result.error()), now);
    }
    start_waiting(now);
}

void JobTable::release_share(const Job& job) {
    --running_;
    if (--running_of_[job.charged] == 0) {
        running_of_.erase(job.charged);
    }
}

void JobTable::abandoned(const std::string& id) {
    if (const auto job = find(id); job && job->state == JobState::running) {
        release_share(*job);
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
            round_.remove(uid);
        }
    }
}

/// Starts what may start: round robin between users, nobody runs more than their share.
void JobTable::start_waiting(Clock::time_point now) {
    std::size_t passed_over = 0;
    while (passed_over < round_.size()) {
        const uid_t uid = round_.front();
        round_.pop_front();
        auto& queue = queues_[uid];
        if (!may_start(uid)) {
            round_.push_back(uid);
            ++passed_over;
            continue;
        }
        const auto job = find(queue.front());
        queue.pop_front();
        if (queue.empty()) {
            queues_.erase(uid);
        } else {
            round_.push_back(uid);
        }
        passed_over = 0;
        if (!job || job->state != JobState::queued) {
            continue; // begun already, for somebody else who asked for it
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
    std::vector<std::shared_ptr<Job>> old;
    for (const auto& [id, entry] : jobs_) {
        auto& job = *entry;
        const bool unwanted = job.listeners.empty() && !job.detached &&
                              now - job.last_interest > limits_.interest_ttl;
        if (job.unfinished() && !job.listeners.empty() &&
            now - job.last_broadcast >= limits_.silence) {
            job.last_broadcast = now; // a long wait must not look like a dead service
            broadcast(job, false);
        }
        switch (job.state) {
        case JobState::queued:
            if (unwanted) {
                leave_queues(job);
                old.push_back(entry);
            }
            break;
        case JobState::running:
            if (unwanted) {
                job.cancel.request_stop();
            }
            break;
        case JobState::ready:
            // Digest-pinned answers stay a while: what they mean cannot change.
            if (now - std::max(job.finished, job.last_interest) > std::chrono::hours(1)) {
                old.push_back(entry);
            }
            break;
        case JobState::failed:
            if (now - job.finished > limits_.interest_ttl) {
                old.push_back(entry);
            }
            break;
        }
    }
    for (const auto& job : old) {
        forget(*job);
    }
}

void JobTable::cancel_all() {
    for (auto& [id, job] : jobs_) {
        job->cancel.request_stop();
    }
    queues_.clear();
    round_.clear();
    queued_ = 0;
}

} // namespace slipway::prefetch::service
