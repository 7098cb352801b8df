// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/fd.hpp"
#include "base/result.hpp"
#include "store/provenance.hpp"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace slipway::store {

// The image store: a directory of plain files on shared or local storage.
//
//   images/<id>.sif       a finished image; its presence is the commit
//   images/<id>.json      provenance, there before the image
//   refs/<sha256 of reference>/<time>-<digest>.json   what a tag meant, and when; never rewritten
//   grants/<id>/<uid>.<expiry>   somebody may need the image until then (seconds since the epoch)
//   pins/<id>             never collected
//   leases/<id>           somebody works on the image (saves work, protects nothing)
//   tmp/<host>.<pid>.<n>/ unfinished work; removed when its process is gone
//
// Everything is made to be correct on NFS and Lustre: commits are link(2) of a synced file, nothing
// that may be open is renamed over, a lost reply is looked up again, and readers that were told of
// an image look again while attribute caches catch up.

/// 64 lower-case hexadecimal digits.
using ImageId = std::string;

/// id = sha256 over the four things that decide the bytes of an image. `options` is the canonical
/// text of the conversion options, `format` the version of what the converter writes.
ImageId image_id(std::string_view manifest_digest, std::string_view platform,
                 std::string_view options, std::string_view format);
bool is_image_id(std::string_view text) noexcept;

enum class Access {
    read_only,    ///< never creates or changes anything (jobs, `images`, other users)
    shared,       ///< world-readable: directories 0755, images 0644
    private_user, ///< one user's own: directories 0700, images 0600
};

struct StoreOptions {
    std::string path;
    Access access = Access::private_user;
    std::uint64_t quota = 0;                   ///< bytes; 0: only the file system limits
    std::uint64_t max_job_time = 7 * 86400;    ///< seconds that a grant lasts
    std::uint64_t lease_beat_ms = 10000;       ///< how often a holder rewrites its lease
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
    std::int64_t published = 0; ///< seconds since the epoch
    bool pinned = false;
    std::int64_t granted_until = 0; ///< 0: no grant
};

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
};

/// Unfinished work of this process: a directory under tmp/ that goes away with the object.
class WorkDir {
  public:
    WorkDir() = default;
    WorkDir(WorkDir&&) noexcept;
    WorkDir& operator=(WorkDir&&) noexcept;
    WorkDir(const WorkDir&) = delete;
    WorkDir& operator=(const WorkDir&) = delete;
    ~WorkDir();
    [[nodiscard]] const std::string& path() const noexcept { return path_; }

  private:
    friend class Store;
    explicit WorkDir(std::string path) : path_(std::move(path)) {}
    std::string path_;
};

/// Thread-safe: the object holds only paths and options; all state is on disk.
class Store {
  public:
    /// Opens a store; creates what is missing unless read-only. Code::store_unusable when the path
    /// is no directory, belongs to somebody else, can be written by others, or cannot be written.
    static base::Result<Store> open(StoreOptions options);

    [[nodiscard]] const StoreOptions& options() const noexcept { return options_; }
    [[nodiscard]] std::string image_path(const ImageId& id) const;
    [[nodiscard]] std::string directory(std::string_view part) const;

    /// The image, or nothing. One stat(2).
    [[nodiscard]] std::optional<StoredImage> find(const ImageId& id) const;
    /// The image, or nothing. Where it seems to be missing, the file server is asked: it may be there
    /// by now. Worth its price before work that finding it would make needless.
    [[nodiscard]] std::optional<StoredImage> find_again(const ImageId& id) const;
    /// The image that somebody said is there: looks again for appear_ms (attribute caches).
    [[nodiscard]] base::Result<StoredImage> expect(const ImageId& id) const;
    [[nodiscard]] base::Result<Provenance> provenance(const ImageId& id) const;
    [[nodiscard]] base::Result<std::vector<StoredImage>> list() const;

    base::Result<WorkDir> make_work_dir() const;
    /// Commits `sif` (a file inside `work`, complete and closed) as `id`. When another publisher was
    /// faster, that is success, too. Afterwards the image is visible whole or not at all.
    base::Result<StoredImage> publish(const ImageId& id, const WorkDir& work,
                                      const std::string& sif, const Provenance& what) const;

    base::Result<void> record_ref(const RefRecord& record) const;
    /// The newest record for a reference and platform, if there is one.
    [[nodiscard]] std::optional<RefRecord> latest_ref(std::string_view reference,
                                                      std::string_view platform) const;

    base::Result<void> grant(const ImageId& id, std::uint32_t uid) const;
    base::Result<void> pin(const ImageId& id) const;
    base::Result<void> unpin(const ImageId& id) const;
    /// Removes an image, its provenance and grants. Code::not_staged when there is none; a granted
    /// or pinned one only with `force`.
    base::Result<void> remove(const ImageId& id, bool force) const;

    /// Bytes of all images and unfinished work.
    [[nodiscard]] base::Result<std::uint64_t> usage() const;
    /// Makes sure that `bytes` more fit under the quota and on the disk: collects ungranted,
    /// unpinned images, least recently granted first. Code::quota_exceeded or Code::out_of_space
    /// say why not. Returns the ids that were collected.
    base::Result<std::vector<ImageId>> make_room(std::uint64_t bytes) const;
    /// Removes work directories whose process is gone; returns how many.
    base::Result<std::size_t> sweep() const;
    /// Looks at everything: sizes and digests of images, provenance without image, dead work, old
    /// grants. `repair` removes what is broken; an image with wrong bytes is removed, too.
    base::Result<std::vector<FsckProblem>> fsck(bool repair, bool read_all_bytes) const;

  private:
    explicit Store(StoreOptions options) : options_(std::move(options)) {}
    base::Result<void> step(std::string_view name) const;
    base::Result<void> publish_provenance(const ImageId& id, const WorkDir& work,
                                          const Provenance& what) const;
    base::Result<void> commit_link(const std::string& from, const std::string& to) const;
    base::Result<void> drop(const ImageId& id) const;
    void check_images(bool repair, bool read_all_bytes, std::vector<FsckProblem>& problems) const;
    void check_orphans(bool repair, std::vector<FsckProblem>& problems) const;
    [[nodiscard]] mode_t dir_mode() const noexcept;
    [[nodiscard]] mode_t file_mode() const noexcept;

    StoreOptions options_;
};

} // namespace slipway::store
