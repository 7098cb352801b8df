// SPDX-License-Identifier: Apache-2.0
#include "prefetch/sources/silent_hosts.hpp"

namespace slipway::prefetch::sources {

void SilentHosts::add(const std::string& host) {
    const std::lock_guard lock(mutex_);
    since_[host] = Clock::now();
}

bool SilentHosts::has(const std::string& host) const {
    const std::lock_guard lock(mutex_);
    const auto found = since_.find(host);
    return found != since_.end() && (!time_ || Clock::now() - found->second < *time_);
}

} // namespace slipway::prefetch::sources
