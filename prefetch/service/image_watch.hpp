// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "prefetch/service/job_table.hpp"
#include "store/store.hpp"

#include <functional>
#include <map>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace slipway::prefetch::service {

/// `work` runs on a worker thread and may throw; `then` is called afterwards on the control thread,
/// in every case, with false when `work` did not end well.
using OffThread =
    std::function<void(std::function<void()> work, std::function<void(bool done)> then)>;

/// Looks for images in the store before they are named as ready, and renews the grants of those who
/// ask. Requests for one image that come while the store is being looked at share the next look, so
/// that a slow file system is asked once, not once for each of ten thousand tasks. Belongs to the
/// control thread; never blocks it.
class ImageWatch {
  public:
    /// Whether the image is in the store. Called on the control thread, later.
    using Answer = std::function<void(bool there)>;

    ImageWatch(const store::Store& store, OffThread off_thread);

    /// Whoever names an image as ready asks here first, for `uid`, whose grant is renewed before the
    /// look when the last one is older than an hour.
    void confirm(const store::ImageId& id, uid_t uid, Answer answer);

    /// Grants that are too old to matter are forgotten: call it now and then.
    void tick(Clock::time_point now);

  private:
    struct Waiter {
        uid_t uid;
        Answer answer;
    };
    struct Look {
        bool running = false;
        std::vector<Waiter> waiting;
    };
    struct Findings;

    void look(const store::ImageId& id);
    void looked(const store::ImageId& id, const std::vector<Waiter>& waiters,
                const Findings& findings);
    [[nodiscard]] std::vector<uid_t> due(const store::ImageId& id,
                                         const std::vector<Waiter>& waiters) const;
    void forget_grants(const store::ImageId& id);

    const store::Store& store_;
    OffThread off_thread_;
    std::unordered_map<store::ImageId, Look> looks_;
    std::map<std::pair<store::ImageId, uid_t>, Clock::time_point> granted_;
};

} // namespace slipway::prefetch::service
