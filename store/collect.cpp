// SPDX-License-Identifier: Apache-2.0
// Room: what may be removed for whom, and how an image is removed.
#include "base/directory.hpp"
#include "base/format.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "store/files.hpp"
#include "store/process_id.hpp"
#include "store/store.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <ctime>
#include <map>
#include <set>

namespace slipway::store {
namespace {

/// When an image was last wanted: a grant lasts max_job_time from the moment it was given.
std::int64_t last_wanted(const StoredImage& image, std::uint64_t grant_seconds) {
    return std::max(image.published,
                    image.granted_until == 0
                        ? 0
                        : image.granted_until - static_cast<std::int64_t>(grant_seconds));
}

struct Disk {
    std::uint64_t size = 0;
    std::uint64_t free = UINT64_MAX;
};

Disk disk_of(int dir) {
    struct statvfs facts {};
    if (::fstatvfs(dir, &facts) != 0) {
        return {};
    }
    return {static_cast<std::uint64_t>(facts.f_blocks) * facts.f_frsize,
            static_cast<std::uint64_t>(facts.f_bavail) * facts.f_frsize};
}

/// Images that a live grant protects: of each user the newest grants, up to `share` bytes.
std::set<ImageId> within_shares(const std::vector<StoredImage>& images, std::uint64_t share,
                                std::int64_t now) {
    struct Granted {
        std::int64_t until;
        const StoredImage* image;
    };
    std::map<std::uint32_t, std::vector<Granted>> by_user;
    for (const auto& image : images) {
        std::map<std::uint32_t, std::int64_t> latest;
        for (const auto& grant : image.grants) {
            latest[grant.uid] = std::max(latest[grant.uid], grant.until);
        }
        for (const auto& [uid, until] : latest) {
            if (until > now) {
                by_user[uid].push_back({until, &image});
            }
        }
    }
    std::set<ImageId> kept;
    for (auto& [uid, granted] : by_user) {
        std::sort(granted.begin(), granted.end(), [](const Granted& a, const Granted& b) {
            return std::pair(a.until, a.image->published) > std::pair(b.until, b.image->published);
        });
        std::uint64_t sum = 0;
        for (const auto& each : granted) {
            sum += each.image->disk_bytes;
            if (sum <= share) {
                kept.insert(each.image->id);
            }
        }
    }
    return kept;
}

bool granted_to(const StoredImage& image, std::uint32_t uid, std::int64_t now) {
    return std::any_of(image.grants.begin(), image.grants.end(), [&](const GrantName& grant) {
        return grant.uid == uid && grant.until > now;
    });
}

/// Whether it can be collected now: looked at again, it may have been granted since the plan.
bool same_protection(const StoredImage& then, const std::optional<StoredImage>& again) {
    return again && !again->pinned && again->granted_until <= then.granted_until;
}

} // namespace

Protection protection_of(const StoredImage& image, std::int64_t now) noexcept {
    if (image.pinned) {
        return Protection::pinned;
    }
    return image.granted_until > now ? Protection::granted : Protection::none;
}

/// What may go for one user, in this order, and what room that gives.
struct Store::Collection {
    struct Candidate {
        StoredImage image;
        bool own = false; ///< only the user's own grants beyond their share protect it
    };
    std::vector<Candidate> candidates;
    std::uint64_t used = 0;   ///< of the quota
    std::uint64_t share = 0;  ///< bytes; of others' images at most so much goes
    std::uint64_t own = 0;    ///< bytes of the user's own candidates
    std::uint64_t others = 0; ///< bytes of the rest
    Disk disk;

    [[nodiscard]] std::uint64_t collectable() const { return own + std::min(others, share); }
};

base::Result<Store::Collection> Store::plan(std::uint64_t bytes, std::uint64_t unfinished,
                                            std::uint64_t on_disk, std::uint32_t uid) const {
    TRY_ASSIGN(const auto root, root_.directory(O_RDONLY));
    TRY_ASSIGN(auto images, list());
    Collection found;
    found.disk = disk_of(root.get());
    const bool shared = options_.access == Access::shared;
    const auto whole = options_.quota != 0 ? options_.quota : found.disk.size;
    found.share = shared ? whole / 100 * options_.user_share : UINT64_MAX;
    const auto now = ::time(nullptr);
    const auto kept = within_shares(images, found.share, now);
    for (auto& image : images) {
        found.used += image.disk_bytes;
        if (image.pinned || kept.count(image.id) != 0) {
            continue;
        }
        const bool own = shared && granted_to(image, uid, now);
        (own ? found.own : found.others) += image.disk_bytes;
        found.candidates.push_back({std::move(image), own});
    }
    std::sort(found.candidates.begin(), found.candidates.end(), [&](const auto& a, const auto& b) {
        return std::pair(!a.own, last_wanted(a.image, options_.max_job_time)) <
               std::pair(!b.own, last_wanted(b.image, options_.max_job_time));
    });
    const auto free_quota = [&]() -> std::uint64_t {
        const auto taken = found.used - std::min(found.used, found.collectable()) + unfinished;
        return options_.quota - std::min(options_.quota, taken);
    };
    if (options_.quota != 0 && bytes > options_.quota) {
        return base::fail(base::Code::quota_exceeded,
                          fmt::format("the image may need up to {} while it is made, and the store's "
                                      "quota is {}",
                                      base::size_text(bytes), base::size_text(options_.quota)),
                          "raise store.quota: no removal makes enough room");
    }
    if (options_.quota != 0 && bytes > free_quota()) {
        return base::fail(base::Code::quota_exceeded,
                          fmt::format("the store's quota of {} is reached: {} in use, {} needed, "
                                      "and what is left is granted to jobs, pinned, or more than "
                                      "one user may have removed",
                                      base::size_text(options_.quota),
                                      base::size_text(found.used + unfinished),
                                      base::size_text(bytes)),
                          "wait for jobs to end, unpin images, or raise store.quota");
    }
    if (on_disk > found.disk.free && on_disk - found.disk.free > found.collectable()) {
        return base::fail(base::Code::out_of_space,
                          fmt::format("the store {} has {} free, {} needed",
                                      base::in_quotes(options_.path),
                                      base::size_text(found.disk.free), base::size_text(on_disk)),
                          "free space there, or set store.path to a larger file system");
    }
    return found;
}

base::Result<void> Store::reserve(std::uint64_t bytes, std::uint32_t uid) const {
    TRY_ASSIGN(const auto tmp, root_.part(Part::tmp, O_RDONLY));
    TRY(plan(bytes, tree_bytes(tmp.get()), bytes, uid));
    return {};
}

base::Result<std::vector<ImageId>> Store::make_room(std::uint64_t bytes, std::uint32_t uid) const {
    return collect(bytes, bytes, uid);
}

base::Result<std::vector<ImageId>> Store::collect(std::uint64_t bytes, std::uint64_t on_disk,
                                                  std::uint32_t uid) const {
    TRY_ASSIGN(const auto found, plan(bytes, 0, on_disk, uid));
    TRY_ASSIGN(const auto root, root_.directory(O_RDONLY));
    std::vector<ImageId> collected;
    auto used = found.used;
    std::uint64_t from_others = 0;
    const auto fits = [&] {
        return (options_.quota == 0 || used + bytes <= options_.quota) &&
               disk_of(root.get()).free >= on_disk;
    };
    for (const auto& [image, own] : found.candidates) {
        if (fits()) {
            return collected;
        }
        if ((!own && image.disk_bytes > found.share - std::min(found.share, from_others)) ||
            !same_protection(image, find(image.id))) {
            continue;
        }
        TRY(drop(image.id));
        base::log(base::LogLevel::info,
                  fmt::format("image {} was removed to make room, uid {}", image.id, uid));
        used -= std::min(used, image.disk_bytes);
        from_others += own ? 0 : image.disk_bytes;
        collected.push_back(image.id);
    }
    if (!fits()) {
        TRY(plan(bytes, 0, on_disk, uid)); // says what is missing
        return base::fail(base::Code::quota_exceeded,
                          "the store is full, and images that could have gone are in use now",
                          "try again, or raise store.quota");
    }
    return collected;
}

base::Result<void> Store::drop(const ImageId& id) const {
    // Grants and pins protect nothing any more; a new publisher's own come after its commit, and
    // must not be taken for old ones.
    TRY(step("drop-grants"));
    (void)drop_grants(id);
    (void)unpin(id);
    // The commit goes next: from here on nobody finds the image, and the rest is a leftover that
    // fsck knows how to remove. Jobs that have it open keep it.
    TRY(step("drop-image"));
    TRY_ASSIGN(const auto images, root_.part(Part::images, O_RDONLY));
    if (!remove_plain(images.get(), id + ".sif", root_.owner()) && errno != ENOENT) {
        return base::fail_errno(base::Code::store_unusable, errno, "cannot remove an image");
    }
    return drop_provenance(id, images.get());
}

/// Removes the provenance of an image that is gone. It may be published again at any moment: a
/// publisher links provenance, then the image, then provenance again where it is missing. So it is
/// moved aside first and put back when there is an image then; whatever the order, an image keeps
/// its provenance. Who ends in between leaves it aside, and restore_provenance() looks again.
base::Result<void> Store::drop_provenance(const ImageId& id, int images) const {
    static std::atomic<unsigned> counter{0};
    const auto name = id + ".json";
    const auto aside = fmt::format("{}.removed.{}.{}", name, ::getpid(), counter.fetch_add(1));
    TRY(step("drop-provenance"));
    struct stat facts {};
    if (::fstatat(images, name.c_str(), &facts, AT_SYMLINK_NOFOLLOW) != 0 ||
        !S_ISREG(facts.st_mode) || facts.st_uid != root_.owner()) {
        return {};
    }
    if (::renameat(images, name.c_str(), images, aside.c_str()) != 0) {
        return errno == ENOENT ? base::Result<void>()
                               : base::fail_errno(base::Code::store_unusable, errno,
                                                  "cannot remove provenance");
    }
    TRY(step("drop-look"));
    if (find_again(id)) {
        (void)!::linkat(images, aside.c_str(), images, name.c_str(), 0);
    }
    TRY(step("drop-aside"));
    (void)remove_plain(images, aside, root_.owner());
    return {};
}

base::Result<void> Store::remove(const ImageId& id, bool force) const {
    const auto image = find(id);
    if (!image) {
        return base::fail(base::Code::not_staged, "image " + base::in_quotes(id) + " is not staged",
                          "`slipway images` lists what is");
    }
    const auto protection = protection_of(*image, ::time(nullptr));
    if (!force && protection != Protection::none) {
        return base::fail(base::Code::option_conflict,
                          "image " + id + (protection == Protection::pinned
                                               ? " is pinned"
                                               : " may be in use by jobs"),
                          "remove it anyway with --force");
    }
    return in_store(drop(id), options_.path);
}

base::Result<std::uint64_t> Store::usage() const {
    TRY_ASSIGN(const auto images, root_.part(Part::images, O_RDONLY));
    TRY_ASSIGN(const auto tmp, root_.part(Part::tmp, O_RDONLY));
    return tree_bytes(images.get()) + tree_bytes(tmp.get());
}

} // namespace slipway::store
