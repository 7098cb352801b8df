// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/deadline.hpp"
#include "store/store.hpp"

#include <memory>
#include <stop_token>
#include <variant>

namespace slipway::store {

/// "I am working on this image": leases/<id>, made with O_EXCL, rewritten by a thread of its holder,
/// removed with the object. It only saves work: two holders of one lease waste time and harm
/// nothing, because what is published is decided by content.
class Lease {
  public:
    Lease(Lease&&) noexcept;
    Lease& operator=(Lease&&) noexcept;
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    ~Lease();

  private:
    friend class Acquisition;
    struct Heartbeat;
    explicit Lease(std::unique_ptr<Heartbeat> heartbeat);
    std::unique_ptr<Heartbeat> heartbeat_;
};

/// What to do about an image that may be missing.
struct Wait {
    std::string holder; ///< who works on it, for messages
};
using Claim = std::variant<StoredImage, Lease, Wait>;

/// One process's way to an image: ask poll() until it gives the image (somebody has finished it) or
/// the lease (do the work now). Keeps what it saw of the other holder's lease, so that a holder that
/// has died is noticed: at once when it was on this host, after lease_stale_ms without a change
/// elsewhere. Not thread-safe.
class Acquisition {
  public:
    Acquisition(const Store& store, ImageId id);
    base::Result<Claim> poll();
    /// poll() until it gives the image or the lease; calls `waiting` about every `interval_ms`; Code::interrupted
    /// when `stop` is requested.
    base::Result<Claim> wait(const std::function<void(const Wait&)>& waiting,
                            std::stop_token stop = {}, unsigned interval_ms = 200);

  private:
    base::Result<std::optional<Lease>> try_take();
    bool holder_is_dead(const std::string& content);
    base::Result<void> break_lease(int leases, const std::string& seen) const;

    const Store& store_;
    ImageId id_;
    std::string last_seen_;
    std::optional<base::Deadline> silence_ends_; ///< then a holder that changed nothing is dead
};

} // namespace slipway::store
