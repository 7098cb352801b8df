// SPDX-License-Identifier: Apache-2.0
#include "store/lease.hpp"

#include "base/barrier.hpp"
#include "base/errno_code.hpp"
#include "base/format.hpp"
#include "base/log.hpp"
#include "base/owned_file.hpp"
#include "store/files.hpp"
#include "store/process_id.hpp"

#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

namespace slipway::store {
namespace {

constexpr std::size_t max_lease_bytes = 1024;

std::string lease_text(std::uint64_t heartbeat) {
    return fmt::format("{} {}\n", ProcessId::self().text(), heartbeat);
}

} // namespace

struct Lease::Heartbeat {
    Heartbeat(Root store, std::string lease) : root(std::move(store)), name(std::move(lease)) {}

    Root root;
    std::string name;
    std::uint64_t interval_ms = 0;
    std::uint64_t stale_ms = 0;
    std::string last;    ///< what the file says for certain when it is ours
    std::string attempt; ///< a rewrite that failed, or whose answer was lost: it may say this
    std::mutex mutex;
    std::condition_variable wake;
    bool stop = false;
    std::thread thread;

    [[nodiscard]] base::Deadline silence_ends() const {
        return base::Deadline(static_cast<int>(stale_ms));
    }

    [[nodiscard]] bool ours(const std::string& text) const {
        return text == last || (!attempt.empty() && text == attempt);
    }

    /// False when there is nothing left to keep alive: somebody who thought us dead has taken over.
    /// A file server that does not answer just now is no reason to give up.
    bool rewrite(std::uint64_t count, base::Deadline& silent) {
        auto file = open_lease();
        const auto now = file ? base::read_to_end(file->get(), max_lease_bytes)
                              : base::Result<std::string>(base::Unexpected(file.error()));
        if (!now) {
            return now.error().sys_errno != ENOENT;
        }
        if (!ours(*now)) {
            return false;
        }
        attempt = lease_text(count);
        // In the very file that was read. Not truncated first: the text never gets shorter, so a
        // reader always finds a whole one.
        const auto* bytes = reinterpret_cast<const std::uint8_t*>(attempt.data());
        if (base::write_all_at(file->get(), {bytes, attempt.size()}, 0) && file->close()) {
            last = std::exchange(attempt, {});
            silent = silence_ends();
        }
        return true;
    }

    [[nodiscard]] base::Result<base::UniqueFd> open_lease() const {
        TRY_ASSIGN(const auto leases, root.part(Part::leases, O_RDONLY));
        return base::open_owned(leases.get(), name, O_RDWR, root.owner(), name,
                                base::Code::store_unusable);
    }

    void run() {
        std::unique_lock lock(mutex);
        auto silent = silence_ends();
        for (std::uint64_t count = 1; !stop; ++count) {
            wake.wait_for(lock, std::chrono::milliseconds(interval_ms), [&] { return stop; });
            // Unchanged for so long, everybody else calls it dead: it is theirs to take.
            if (stop || silent.passed()) {
                return;
            }
            bool keep = true;
            // No memory just now is, like a file server that does not answer, no reason to give up.
            if (base::completes([&] { keep = rewrite(count, silent); }) && !keep) {
                return;
            }
        }
    }

    ~Heartbeat() {
        {
            const std::lock_guard lock(mutex);
            stop = true;
        }
        wake.notify_all();
        if (thread.joinable()) {
            thread.join();
        }
        if (const auto leases = root.part(Part::leases, O_RDONLY)) {
            const auto now = read_plain(leases->get(), name, max_lease_bytes, root.owner());
            if (now && ours(*now)) {
                (void)remove_plain(leases->get(), name, root.owner());
            }
        }
    }
};

Lease::Lease(std::unique_ptr<Heartbeat> heartbeat) : heartbeat_(std::move(heartbeat)) {}
Lease::Lease(Lease&&) noexcept = default;
Lease& Lease::operator=(Lease&&) noexcept = default;
Lease::~Lease() = default;

Acquisition::Acquisition(const Store& store, ImageId id)
    : store_(store), id_(std::move(id)) {}

base::Result<Claim> Acquisition::poll() {
    // What an NFS client remembers would keep us waiting long after the image is there, and the lease
    // gone: ask the server.
    if (auto image = store_.find_again(id_)) {
        return Claim(std::move(*image));
    }
    base::ask_server_about(store_.directory("leases"));
    TRY_ASSIGN(auto lease, in_store(try_take(), store_.options().path));
    if (!lease) {
        const auto holder = ProcessId::parse(last_seen_);
        return Claim(Wait{fmt::format("process {} on {}, which fetches the same image", holder.pid,
                                      holder.host)});
    }
    // Whoever held it before may have published between our look and our lease.
    if (auto image = store_.find_again(id_)) {
        return Claim(std::move(*image));
    }
    return Claim(std::move(*lease));
}

base::Result<std::optional<Lease>> Acquisition::try_take() {
    const auto& root = store_.root_;
    for (int tries = 0; tries < 16; ++tries) {
        TRY_ASSIGN(const auto leases, root.part(Part::leases, O_RDONLY));
        auto file = base::open_at(leases.get(), id_, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0644);
        if (file) {
            auto heartbeat = std::make_unique<Lease::Heartbeat>(root, id_);
            heartbeat->interval_ms = store_.options().heartbeat_ms;
            heartbeat->stale_ms = store_.options().lease_stale_ms;
            heartbeat->last = lease_text(0);
            auto written = base::write_all(file->get(), heartbeat->last);
            if (written) {
                written = file->close();
            }
            if (!written) {
                // An empty lease would make others wait for nobody.
                (void)remove_plain(leases.get(), id_, root.owner());
                return base::Unexpected(
                    std::move(written.error()).context("writing a lease in the store"));
            }
            auto* raw = heartbeat.get();
            heartbeat->thread = std::thread([raw] { raw->run(); });
            return std::optional<Lease>(Lease(std::move(heartbeat)));
        }
        if (file.error().sys_errno != EEXIST) {
            const int err = file.error().sys_errno;
            return base::fail_errno(base::code_of_errno(err, base::Code::store_unusable), err,
                                    "cannot write a lease in the store",
                                    "check that the store's file system is writable");
        }
        auto content = read_plain(leases.get(), id_, max_lease_bytes, root.owner());
        if (!content &&
            (content.error().sys_errno == ENOENT || content.error().sys_errno == ESTALE)) {
            continue; // it was given back just now; ESTALE: on another NFS client, as we read it
        }
        if (!content) {
            return base::Unexpected(std::move(content.error()).context("reading a lease"));
        }
        if (!holder_is_dead(*content)) {
            return std::optional<Lease>();
        }
        TRY(break_lease(leases.get(), *content));
    }
    return std::optional<Lease>();
}

bool Acquisition::holder_is_dead(const std::string& content) {
    if (content != last_seen_ || !silence_ends_) {
        last_seen_ = content;
        silence_ends_ = base::Deadline(static_cast<int>(store_.options().lease_stale_ms));
    }
    switch (liveness(ProcessId::parse(content))) {
    case Liveness::dead:
        return true;
    case Liveness::alive:
        return false;
    case Liveness::unknown:
        break;
    }
    return silence_ends_->passed();
}

/// Moves the lease away under a name of ours before removing it: of two observers only one succeeds
/// for the same file, and the other finds the winner's new lease.
base::Result<void> Acquisition::break_lease(int leases, const std::string& seen) const {
    static std::atomic<unsigned> counter{0};
    const auto aside = fmt::format("{}.broken.{}.{}", id_, ::getpid(), counter.fetch_add(1));
    if (::renameat(leases, id_.c_str(), leases, aside.c_str()) != 0) {
        if (errno == ENOENT) {
            return {};
        }
        return base::fail_errno(base::Code::store_unusable, errno, "cannot break a dead lease");
    }
    const auto owner = store_.root_.owner();
    const auto moved = read_plain(leases, aside, max_lease_bytes, owner);
    if (moved && *moved != seen && ::linkat(leases, aside.c_str(), leases, id_.c_str(), 0) != 0 &&
        errno != EEXIST) {
        base::log(base::LogLevel::warning, "a lease was broken that had just been renewed");
    }
    (void)remove_plain(leases, aside, owner);
    return {};
}

base::Result<Claim> Acquisition::wait(const std::function<void(const Wait&)>& waiting,
                                     std::stop_token stop, unsigned interval_ms) {
    for (;;) {
        if (stop.stop_requested()) {
            return base::fail(base::Code::interrupted, "interrupted while waiting for an image");
        }
        TRY_ASSIGN(auto claim, poll());
        if (!std::holds_alternative<Wait>(claim)) {
            return claim;
        }
        if (waiting) {
            waiting(std::get<Wait>(claim));
        }
        ::poll(nullptr, 0, static_cast<int>(interval_ms));
    }
}

} // namespace slipway::store
