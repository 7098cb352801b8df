// SPDX-License-Identifier: Apache-2.0
#include "prefetch/service/image_watch.hpp"

#include "base/log.hpp"

#include <algorithm>
#include <memory>

namespace slipway::prefetch::service {
namespace {

/// Every srun renews the grant of its image; once an hour for a user and an image is enough.
constexpr auto grant_interval = std::chrono::hours(1);

} // namespace

/// What a look at the store gave; written by the worker, read afterwards by the control thread.
struct ImageWatch::Findings {
    bool there = false;
    std::vector<uid_t> granted;
};

ImageWatch::ImageWatch(const store::Store& store, OffThread off_thread)
    : store_(store), off_thread_(std::move(off_thread)) {}

void ImageWatch::confirm(const store::ImageId& id, uid_t uid, Answer answer) {
    auto& entry = looks_[id];
    entry.waiting.push_back({uid, std::move(answer)});
    if (!entry.running) {
        look(id);
    }
}

std::vector<uid_t> ImageWatch::due(const store::ImageId& id,
                                   const std::vector<Waiter>& waiters) const {
    const auto now = Clock::now();
    std::vector<uid_t> users;
    for (const auto& waiter : waiters) {
        const auto last = granted_.find({id, waiter.uid});
        if ((last == granted_.end() || now - last->second >= grant_interval) &&
            std::find(users.begin(), users.end(), waiter.uid) == users.end()) {
            users.push_back(waiter.uid);
        }
    }
    return users;
}

void ImageWatch::look(const store::ImageId& id) {
    auto& entry = looks_[id];
    entry.running = true;
    auto waiters = std::make_shared<std::vector<Waiter>>(std::move(entry.waiting));
    entry.waiting.clear();
    const auto findings = std::make_shared<Findings>();
    auto work = [store = &store_, id, users = due(id, *waiters), findings] {
        // The grant comes first: an image that was found and is then collected helps nobody.
        for (const auto uid : users) {
            if (const auto done = store->grant(id, uid)) {
                findings->granted.push_back(uid);
            } else if (done.error().code != base::Code::not_staged) {
                base::log(base::LogLevel::warning, done.error().one_line());
            }
        }
        findings->there = store->has(id);
    };
    auto then = [this, id, waiters, findings](bool) { looked(id, *waiters, *findings); };
    try {
        off_thread_(std::move(work), std::move(then));
    } catch (...) {
        looks_.erase(id); // nobody will come back from this look
        throw;
    }
}

void ImageWatch::looked(const store::ImageId& id, const std::vector<Waiter>& waiters,
                        const Findings& findings) {
    if (findings.there) {
        for (const auto uid : findings.granted) {
            granted_[{id, uid}] = Clock::now();
        }
    } else {
        forget_grants(id);
    }
    // Those who came meanwhile may ask because it has just changed: a look of their own.
    if (looks_[id].waiting.empty()) {
        looks_.erase(id);
    } else {
        look(id);
    }
    for (const auto& waiter : waiters) {
        waiter.answer(findings.there);
    }
}

void ImageWatch::forget_grants(const store::ImageId& id) {
    auto at = granted_.lower_bound({id, 0});
    while (at != granted_.end() && at->first.first == id) {
        at = granted_.erase(at);
    }
}

void ImageWatch::tick(Clock::time_point now) {
    std::erase_if(granted_,
                  [&](const auto& entry) { return now - entry.second >= grant_interval; });
}

} // namespace slipway::prefetch::service
