// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/fd.hpp"
#include "base/result.hpp"
#include "image/open_image.hpp"
#include "store/provenance.hpp"
#include "store/root.hpp"

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace slipway::store {

// The image store: a directory of plain files on shared or local storage.
//
//   slipway-store         the mark: nothing is a store without it, and nothing else becomes one
//   images/<id>.sif       a finished image; its presence is the commit
//   images/<id>.json      provenance, there before the image
//   refs/<sha256 of reference>/<time>-<digest>.json   what a tag meant, and when; never rewritten
//   grants/<id>/<uid>.<expiry>   somebody may need the image until then (seconds since the epoch)
//   pins/<id>             never collected
//   leases/<id>           somebody works on the image (saves work, protects nothing)
//   tmp/<host>.<pid>.<n>/ unfinished work; removed when its process is gone
//
// Everything is made to be correct on NFS and Lustre: commits are link(2) of a synced file, nothing
// that may be open is renamed over, a lost reply is looked up again, and readers that heard of
// an image look again while attribute caches catch up.

/// 64 lower-case hexadecimal digits.
using ImageId = std::string;

/// id = sha256 over the four things that decide the bytes of an image. `options` is the canonical
/// text of the conversion options, `format` the version of what the converter writes.
ImageId image_id(std::string_view manifest_digest, std::string_view platform,
                 std::string_view options, std::string_view format);
bool is_image_id(std::string_view text) noexcept;

struct StoreOptions {
    std::string path;
    Access access = Access::private_user;
    std::uint64_t quota = 0;                   ///< bytes; 0: only the file system limits
    std::uint64_t max_job_time = 7 * 86400;    ///< seconds that a grant lasts
    unsigned user_share = 25;                  ///< percent of the quota, in a shared store
    std::uint64_t heartbeat_ms = 10000;        ///< how often a holder rewrites its lease
    std::uint64_t lease_stale_ms = 60000;      ///< unchanged that long on our clock: holder is dead
    std::uint64_t foreign_tmp_stale_s = 86400; ///< another host's work directory, by the file server's clock
    std::uint64_t appear_ms = 5000;            ///< how long an image that must be there is looked for
    /// Called with a name before every step that changes the store; an error aborts there. For
    /// crash and fault tests; empty in production.
    std::function<base::Result<void>(std::string_view step)> before_step{};
};

struct StoredImage {
    ImageId id;
    std::string path;
    std::uint64_t size = 0;
    std::uint64_t disk_bytes = 0; ///< what it takes of the quota
    std::int64_t published = 0; ///< seconds since the epoch
    bool pinned = false;
    std::int64_t granted_until = 0; ///< 0: no grant
    std::vector<GrantName> grants;  ///< also those that have run out
};

/// Why an image is not removed unless somebody insists.
enum class Protection { none, granted, pinned };
/// At `now`, seconds since the epoch. A pin counts before grants.
Protection protection_of(const StoredImage& image, std::int64_t now) noexcept;

/// What a reference meant when it was last looked up.
struct RefRecord {
    std::string reference;
    std::string digest; ///< manifest digest for `platform`
    std::string platform;
    ImageId id;
    std::int64_t when = 0; ///< seconds since the epoch
};

struct FsckProblem {
    std::string path;
    std::string what;
    bool repaired = false;
    bool foreign = false; ///< not the store's, which is no damage
};

/// Something in the store's directory that the store has not made: it is left as it is.
struct Foreign {
    std::string path;
    std::string why; ///< "belongs to user 5", "a link that slipway has not made"
};
/// What people are told of it: "does not belong to the store and is left alone (…)".
std::string left_alone(const Foreign& foreign);

struct Entry;

/// Unfinished work of this process: a directory under tmp/ that goes away with the object. It is used
/// by descriptor alone: whatever its path means meanwhile, nothing is written elsewhere.
class WorkDir {
  public:
    WorkDir() = default;
    WorkDir(WorkDir&&) noexcept = default;
    WorkDir& operator=(WorkDir&& other) noexcept;
    WorkDir(const WorkDir&) = delete;
    WorkDir& operator=(const WorkDir&) = delete;
    ~WorkDir();
    /// The open directory, for as long as the object lives.
    [[nodiscard]] int directory() const noexcept { return directory_.get(); }
    /// A new file in it, for reading and writing.
    base::Result<base::UniqueFd> create(const std::string& name) const;

  private:
    friend class Store;
    WorkDir(Root root, base::UniqueFd store, std::string name);
    [[nodiscard]] bool removed_from(const base::Result<base::UniqueFd>& tmp) const;
    std::optional<Root> root_;
    base::UniqueFd store_; ///< the root that it is beneath; what it becomes is published there
    base::UniqueFd directory_;
    std::string name_; ///< "" when there is nothing to remove
};

/// Thread-safe: the object holds only paths and options; all state is on disk.
class Store {
  public:
    /// Opens a store; creates what is missing unless read-only. Code::store_unusable when the path
    /// is no directory, belongs to somebody else, can be written by others, cannot be written, or
    /// is in use for something else: see Root::open().
    static base::Result<Store> open(StoreOptions options);

    [[nodiscard]] const StoreOptions& options() const noexcept { return options_; }
    [[nodiscard]] std::string image_path(const ImageId& id) const;
    [[nodiscard]] std::string directory(std::string_view part) const;

    /// The image and what protects it, or nothing.
    [[nodiscard]] std::optional<StoredImage> find(const ImageId& id) const;
    /// Whether the image is there: one look by its path, and find_again() before the answer is no. What
    /// it leads to is checked by whoever opens the image.
    [[nodiscard]] bool has(const ImageId& id) const;
    /// The image, or nothing. Where it seems to be missing, the file server is asked: it may be there
    /// by now. Worth its price before work that finding it would make needless.
    [[nodiscard]] std::optional<StoredImage> find_again(const ImageId& id) const;
    /// The image that somebody said is there: looks again for appear_ms (attribute caches).
    [[nodiscard]] base::Result<StoredImage> expect(const ImageId& id) const;
    [[nodiscard]] base::Result<Provenance> provenance(const ImageId& id) const;
    [[nodiscard]] base::Result<std::vector<StoredImage>> list() const;

    base::Result<WorkDir> make_work_dir() const;
    /// Commits the file `name` of `work`, complete and closed, as `id`. When another publisher was
    /// faster, that is success, too. Afterwards the image is visible whole or not at all.
    base::Result<StoredImage> publish(const ImageId& id, const WorkDir& work,
                                      const std::string& name, const Provenance& what) const;
    /// The finished image: see image/stored_image.hpp.
    [[nodiscard]] base::Result<image::OpenImage> open_image(const ImageId& id) const;

    base::Result<void> record_ref(const RefRecord& record) const;
    /// The newest record for a reference and platform, if there is one.
    [[nodiscard]] std::optional<RefRecord> latest_ref(std::string_view reference,
                                                      std::string_view platform) const;

    /// Protects an image for max_job_time. Code::not_staged when it is not in this store (it may be
    /// in another one); no grant is left behind then.
    base::Result<void> grant(const ImageId& id, std::uint32_t uid) const;
    base::Result<void> pin(const ImageId& id) const;
    base::Result<void> unpin(const ImageId& id) const;
    /// Removes an image, its provenance and grants. Code::not_staged when there is none;
    /// Code::option_conflict for a granted or pinned one without `force`.
    base::Result<void> remove(const ImageId& id, bool force) const;

    /// Bytes of all images and unfinished work.
    [[nodiscard]] base::Result<std::uint64_t> usage() const;
    /// For work of `uid` that says it will need `bytes`: refuses what cannot fit beside images that
    /// are pinned or granted, and beside the unfinished work of others. Nothing is removed for a
    /// promise. Code::quota_exceeded or Code::out_of_space say why not.
    base::Result<void> reserve(std::uint64_t bytes, std::uint32_t uid) const;
    /// Room for `bytes` that have arrived, or a bounded step ahead of them: collects images that
    /// are neither granted nor pinned until that much more fits under the quota and on the disk,
    /// never more than needed, and nothing when it cannot be enough. First images that only grants
    /// of `uid` beyond their share protect, then whatever was not asked for the longest. Of others'
    /// images at most the share of `uid` goes. Returns the ids that were collected.
    base::Result<std::vector<ImageId>> make_room(std::uint64_t bytes, std::uint32_t uid) const;
    /// Removes what processes that are gone left: work directories, leases, half-written records,
    /// grants of images that are gone; how much that was. Nothing in a store that this process has
    /// just recognised as one of an older version and marked.
    base::Result<std::size_t> sweep() const;
    /// All that is not the store's own, by looking at every name in it.
    [[nodiscard]] base::Result<std::vector<Foreign>> foreign() const;
    /// Looks at everything: sizes and digests of images, provenance without image, dead work, old
    /// grants, foreign files. `repair` removes what is broken of ours; an image with wrong bytes is
    /// removed, too. Foreign files are never touched, and where sweep() would not, nothing is removed.
    base::Result<std::vector<FsckProblem>> fsck(bool repair, bool read_all_bytes) const;

  private:
    Store(StoreOptions options, Root root) : options_(std::move(options)), root_(std::move(root)) {}
    friend class Acquisition;
    struct Collection; ///< what may go, and how much of it
    base::Result<void> step(std::string_view name) const;
    base::Result<WorkDir> begin_work() const;
    base::Result<StoredImage> publish_steps(const ImageId& id, const WorkDir& work,
                                            const std::string& name, const Provenance& what) const;
    base::Result<void> write_ref(const RefRecord& record) const;
    base::Result<void> write_grant(const ImageId& id, std::uint32_t uid) const;
    struct View; ///< the directories that say all about images
    [[nodiscard]] base::Result<View> view() const;
    [[nodiscard]] std::optional<StoredImage> look(const ImageId& id, const View& view) const;
    [[nodiscard]] std::vector<GrantName> grants_in(int grants, const ImageId& id) const;
    base::Result<void> publish_provenance(const ImageId& id, int work, int images,
                                          const Provenance& what) const;
    base::Result<void> commit(const ImageId& id, int work, const std::string& name,
                              int images) const;
    base::Result<void> drop(const ImageId& id) const;
    base::Result<void> drop_provenance(const ImageId& id, int images) const;
    [[nodiscard]] bool drop_grants(const ImageId& id) const;
    [[nodiscard]] base::Result<Collection> plan(std::uint64_t bytes, std::uint64_t unfinished,
                                                std::uint64_t on_disk, std::uint32_t uid) const;
    base::Result<std::vector<ImageId>> collect(std::uint64_t bytes, std::uint64_t on_disk,
                                               std::uint32_t uid) const;
    base::Result<std::size_t> sweep_tmp() const;
    [[nodiscard]] bool work_is_dead(int tmp, const Entry& entry, std::int64_t now) const;
    [[nodiscard]] bool work_file_is_dead(const Entry& entry, std::int64_t now) const;
    base::Result<std::size_t> sweep_leases() const;
    base::Result<std::size_t> sweep_images() const;
    base::Result<std::size_t> sweep_provenance(int images, const std::set<std::string>& names) const;
    void check_images(bool repair, bool read_all_bytes, std::vector<FsckProblem>& problems) const;
    void check_orphans(bool repair, std::vector<FsckProblem>& problems) const;
    void check_grants(bool repair, std::vector<FsckProblem>& problems) const;
    void check_refs(bool repair, std::vector<FsckProblem>& problems) const;

    StoreOptions options_;
    Root root_;
};

} // namespace slipway::store
