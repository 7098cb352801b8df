// SPDX-License-Identifier: Apache-2.0
#include "base/errno_code.hpp"
#include "base/format.hpp"
#include "base/log.hpp"
#include "base/owned_file.hpp"
#include "base/path.hpp"
#include "base/text.hpp"
#include "store/files.hpp"
#include "store/process_id.hpp"
#include "store/store.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace slipway::store {
namespace {

constexpr const char* provenance_file = "provenance.json";

bool same_file(const struct stat& a, const struct stat& b) noexcept {
    return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

} // namespace

WorkDir::WorkDir(Root root, base::UniqueFd store, std::string name)
    : root_(std::move(root)), store_(std::move(store)), name_(std::move(name)) {}

WorkDir& WorkDir::operator=(WorkDir&& other) noexcept {
    std::swap(root_, other.root_);
    std::swap(store_, other.store_);
    std::swap(directory_, other.directory_);
    std::swap(name_, other.name_);
    return *this;
}

base::Result<base::UniqueFd> WorkDir::create(const std::string& name) const {
    auto file = base::open_at(directory_.get(), name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    if (!file) {
        return base::fail_write(file.error().sys_errno, "cannot create a file in the store");
    }
    return file;
}

bool WorkDir::removed_from(const base::Result<base::UniqueFd>& tmp) const {
    return tmp && remove_work(tmp->get(), name_, root_->owner());
}

WorkDir::~WorkDir() {
    if (name_.empty() || !store_) {
        return;
    }
    // A file server that has just come back may refuse a handle that was good before it went: then
    // the way is walked again. No other directory ever had this name, in any store of this user.
    constexpr int attempts = 5;
    constexpr int pause_ms = 200;
    if (removed_from(root_->inner(store_.get(), name_of(Part::tmp), O_RDONLY))) {
        return;
    }
    for (int attempt = 0; attempt < attempts; ++attempt) {
        if (removed_from(root_->part(Part::tmp, O_RDONLY))) { // asks the server
            return;
        }
        ::poll(nullptr, 0, pause_ms);
    }
    // Who works in the store next sweeps what is left now: its owner has ended.
}

base::Result<WorkDir> Store::make_work_dir() const {
    return in_store(begin_work(), options_.path);
}

base::Result<WorkDir> Store::begin_work() const {
    const auto self = ProcessId::self();
    for (;;) {
        auto name = new_work_name();
        TRY(step("work-dir"));
        TRY_ASSIGN(auto root, root_.directory(O_RDONLY));
        TRY_ASSIGN(const auto tmp, root_.inner(root.get(), name_of(Part::tmp), O_RDONLY));
        if (::mkdirat(tmp.get(), name.c_str(), 0700) == 0) {
            WorkDir work(root_, std::move(root), name);
            TRY_ASSIGN(work.directory_, root_.inner(tmp.get(), name, O_RDONLY));
            // Says whose it is, so that others can tell when that process is gone.
            TRY(step("work-owner"));
            const int dir = work.directory();
            TRY(write_new_file(dir, owner_name, self.text() + "\n", 0600, {dir, "owner.new"}));
            return work;
        }
        if (errno != EEXIST) { // a pid used again after a crash: take the next number
            return base::fail_errno(base::code_of_errno(errno, base::Code::store_unusable), errno,
                                    "cannot create a work directory in " +
                                        base::in_quotes(base::join_path(options_.path, "tmp")));
        }
    }
}

base::Result<void> Store::publish_provenance(const ImageId& id, int work, int images,
                                             const Provenance& what) const {
    const auto target = id + ".json";
    const auto link = [&]() -> base::Result<void> {
        if (::linkat(work, provenance_file, images, target.c_str(), 0) != 0 && errno != EEXIST) {
            return base::fail_errno(base::code_of_errno(errno, base::Code::store_unusable), errno,
                                    "cannot publish provenance");
        }
        return {};
    };
    TRY(step("provenance-write"));
    TRY(write_new_file(work, provenance_file, to_json(what), root_.file_mode(),
                       {work, std::string(provenance_file) + ".new"}));
    TRY(step("provenance-link"));
    if (::linkat(work, provenance_file, images, target.c_str(), 0) == 0) {
        return {};
    }
    if (errno != EEXIST) {
        return link();
    }
    if (find(id)) {
        return {}; // somebody was faster with the whole image; theirs describes it
    }
    if (const auto there = provenance(id); there && there->id == id &&
                                           there->output_digest == what.output_digest &&
                                           there->output_size == what.output_size) {
        // It says the same of the same bytes: its publisher may be about to commit, and must not
        // find it gone.
        return {};
    }
    // Left behind by a publisher that died before the commit. Nobody reads provenance without an
    // image, so it may be replaced; not by rename, which hurts readers on NFS.
    TRY(step("provenance-replace"));
    (void)remove_plain(images, target, root_.owner());
    return link();
}

base::Result<void> Store::commit(const ImageId& id, int work, const std::string& name,
                                 int images) const {
    const auto target = id + ".sif";
    TRY(step("commit"));
    if (::linkat(work, name.c_str(), images, target.c_str(), 0) == 0) {
        return {};
    }
    const int err = errno;
    // NFS may have done it and lost the reply; or another publisher was faster. Both are success.
    struct stat ours {};
    struct stat there {};
    if (::fstatat(work, name.c_str(), &ours, AT_SYMLINK_NOFOLLOW) == 0 &&
        ::fstatat(images, target.c_str(), &there, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISREG(there.st_mode) && there.st_uid == root_.owner()) {
        if (!same_file(ours, there) && ours.st_size != there.st_size) {
            base::log(base::LogLevel::warning,
                      "another publisher's image of another size was kept: " + image_path(id));
        }
        return {};
    }
    return base::fail_errno(base::code_of_errno(err, base::Code::store_unusable), err,
                            "cannot publish an image",
                            "the store's file system must support hard links");
}

base::Result<StoredImage> Store::publish(const ImageId& id, const WorkDir& work,
                                         const std::string& name, const Provenance& what) const {
    return in_store(publish_steps(id, work, name, what), options_.path);
}

base::Result<StoredImage> Store::publish_steps(const ImageId& id, const WorkDir& work,
                                               const std::string& name,
                                               const Provenance& what) const {
    const int dir = work.directory();
    TRY_ASSIGN(const auto images,
               root_.inner(work.store_.get(), name_of(Part::images), O_RDONLY));
    {
        TRY_ASSIGN(const auto file, base::open_owned(dir, name, O_RDONLY, root_.owner(), name,
                                                     base::Code::store_unusable));
        TRY(step("image-mode"));
        // Images in the shared store can be read and mounted, never changed, by everybody.
        if (::fchmod(file.get(), options_.access == Access::private_user ? 0500 : 0555) != 0) {
            return base::fail_errno(base::Code::store_unusable, errno,
                                    "cannot set an image's mode");
        }
        TRY(step("image-sync"));
        TRY(sync_fd(file.get(), name));
        struct stat facts {};
        if (::fstat(file.get(), &facts) == 0 && !find(id)) {
            // The bytes are on the disk already; what others have must go only now.
            TRY(collect(static_cast<std::uint64_t>(facts.st_blocks) * 512, 0, what.uid));
        }
    }
    TRY(publish_provenance(id, dir, images.get(), what));
    TRY(step("provenance-sync"));
    TRY(sync_fd(images.get(), directory("images")));
    TRY(commit(id, dir, name, images.get()));
    // Whoever removed an older image of this id meanwhile took our provenance with it.
    TRY(step("provenance-again"));
    const auto provenance = id + ".json";
    if (::linkat(dir, provenance_file, images.get(), provenance.c_str(), 0) != 0 &&
        errno != EEXIST) {
        return base::fail_errno(base::code_of_errno(errno, base::Code::store_unusable), errno,
                                "cannot publish provenance");
    }
    TRY(step("commit-sync"));
    TRY(sync_fd(images.get(), directory("images")));
    return expect(id);
}

} // namespace slipway::store
