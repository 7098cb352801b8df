// SPDX-License-Identifier: Apache-2.0
#include "base/format.hpp"
#include "base/log.hpp"
#include "base/path.hpp"
#include "base/temp_dir.hpp"
#include "base/text.hpp"
#include "store/files.hpp"
#include "store/process_id.hpp"
#include "store/store.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

namespace slipway::store {
namespace {

bool same_file(const struct stat& a, const struct stat& b) noexcept {
    return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

} // namespace

WorkDir::WorkDir(WorkDir&& other) noexcept : path_(std::exchange(other.path_, {})) {}

WorkDir& WorkDir::operator=(WorkDir&& other) noexcept {
    std::swap(path_, other.path_);
    return *this;
}

WorkDir::~WorkDir() {
    // A file server that has just come back may refuse a handle that was good before it went.
    constexpr int attempts = 5;
    constexpr int pause_ms = 200;
    for (int attempt = 0; !path_.empty() && attempt < attempts; ++attempt) {
        if (base::remove_tree(path_)) {
            return;
        }
        base::ask_server_about(std::string(base::dir_name(path_)));
        ::poll(nullptr, 0, pause_ms);
    }
    // Who works in the store next sweeps what is left now: its owner has ended.
}

base::Result<WorkDir> Store::make_work_dir() const {
    static std::atomic<unsigned> counter{0};
    const auto self = ProcessId::self();
    for (;;) {
        const auto path =
            fmt::format("{}/{}.{}.{}", directory("tmp"), self.host, self.pid, counter.fetch_add(1));
        TRY(step("work-dir"));
        if (::mkdir(path.c_str(), 0700) == 0) {
            WorkDir work(path);
            // Says whose it is, so that others can tell when that process is gone.
            TRY(step("work-owner"));
            auto named = write_new_file(path + "/owner", self.text() + "\n", 0600);
            if (!named) {
                return base::Unexpected(
                    std::move(named.error())
                        .context("beginning work in the store " + base::in_quotes(options_.path)));
            }
            return work;
        }
        if (errno != EEXIST) { // a pid used again after a crash: take the next number
            return base::fail_errno(errno == ENOSPC || errno == EDQUOT ? base::Code::out_of_space
                                                                       : base::Code::store_unusable,
                                    errno, "cannot create a work directory in the store",
                                    "check that the store's file system is writable and not full");
        }
    }
}

base::Result<void> Store::publish_provenance(const ImageId& id, const WorkDir& work,
                                             const Provenance& what) const {
    const auto target = directory("images") + "/" + id + ".json";
    const auto source = work.path() + "/provenance.json";
    TRY(step("provenance-write"));
    TRY(write_new_file(source, to_json(what), file_mode()));
    TRY(step("provenance-link"));
    if (::link(source.c_str(), target.c_str()) == 0) {
        return {};
    }
    if (errno != EEXIST) {
        return base::fail_errno(base::Code::store_unusable, errno, "cannot publish provenance");
    }
    if (find(id)) {
        return {}; // somebody was faster with the whole image; theirs describes it
    }
    if (const auto there = provenance(id); there && there->id == id &&
                                           there->output_digest == what.output_digest &&
                                           there->output_size == what.output_size) {
        // It tells the same of the same bytes: its publisher may be about to commit, and must not
        // find it gone.
        return {};
    }
    // Left behind by a publisher that died before the commit. Nobody reads provenance without an
    // image, so it may be replaced; not by rename, which hurts readers on NFS.
    TRY(step("provenance-replace"));
    ::unlink(target.c_str());
    if (::link(source.c_str(), target.c_str()) != 0 && errno != EEXIST) {
        return base::fail_errno(base::Code::store_unusable, errno, "cannot publish provenance");
    }
    return {};
}

base::Result<void> Store::commit_link(const std::string& from, const std::string& to) const {
    TRY(step("commit"));
    if (::link(from.c_str(), to.c_str()) == 0) {
        return {};
    }
    const int err = errno;
    // NFS may have done it and lost the reply; or another publisher was faster. Both are success.
    struct stat ours {};
    struct stat there {};
    if (::stat(from.c_str(), &ours) == 0 && ::stat(to.c_str(), &there) == 0) {
        if (same_file(ours, there) || ours.st_size == there.st_size) {
            return {};
        }
        base::log(base::LogLevel::warning,
                  "another publisher's image of another size was kept: " + to);
        return {};
    }
    return base::fail_errno(base::Code::store_unusable, err, "cannot publish an image",
                            "the store's file system must support hard links");
}

base::Result<StoredImage> Store::publish(const ImageId& id, const WorkDir& work,
                                         const std::string& sif, const Provenance& what) const {
    TRY(step("image-mode"));
    // Images in the shared store can be read and mounted, never changed, by everybody.
    if (::chmod(sif.c_str(), options_.access == Access::private_user ? 0500 : 0555) != 0) {
        return base::fail_errno(base::Code::store_unusable, errno, "cannot set an image's mode");
    }
    TRY(step("image-sync"));
    TRY(sync_path(sif, false));
    TRY(publish_provenance(id, work, what));
    TRY(step("provenance-sync"));
    TRY(sync_path(directory("images"), true));
    TRY(commit_link(sif, image_path(id)));
    // Whoever removed an older image of this id meanwhile took our provenance with it.
    const auto provenance = directory("images") + "/" + id + ".json";
    if (::link((work.path() + "/provenance.json").c_str(), provenance.c_str()) != 0 &&
        errno != EEXIST) {
        return base::fail_errno(base::Code::store_unusable, errno, "cannot publish provenance");
    }
    TRY(step("commit-sync"));
    TRY(sync_path(directory("images"), true));
    return expect(id);
}

} // namespace slipway::store
