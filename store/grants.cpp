// SPDX-License-Identifier: Apache-2.0
// What keeps images from being collected: grants of users, pins of administrators.
#include "base/directory.hpp"
#include "base/errno_code.hpp"
#include "base/format.hpp"
#include "base/text.hpp"
#include "store/files.hpp"
#include "store/store.hpp"

#include <cerrno>
#include <ctime>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace slipway::store {
namespace {

base::Unexpected not_in_store(const ImageId& id) {
    return base::fail(base::Code::not_staged, "image " + base::in_quotes(id) + " is not staged",
                      "`slipway images` lists what is");
}

base::Unexpected cannot(int err, std::string what) {
    return base::fail_errno(base::code_of_errno(err, base::Code::store_unusable), err,
                            std::move(what));
}

/// An empty file with that name; one that is there is as good.
base::Result<void> make_empty(int dir, const std::string& name, mode_t mode) {
    TRY_ASSIGN(auto file,
               base::open_at(dir, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK, mode));
    return file.close();
}

} // namespace

std::vector<GrantName> Store::grants_in(int grants, const ImageId& id) const {
    std::vector<GrantName> found;
    const auto dir = root_.inner(grants, id, O_RDONLY);
    const auto listed = dir ? base::list_directory(dir->get())
                            : base::Result<std::vector<base::DirectoryEntry>>();
    if (dir && listed) {
        for (const auto& entry : *listed) {
            if (const auto grant = parse_grant_name(entry.name)) {
                found.push_back(*grant);
            }
        }
    }
    return found;
}

base::Result<void> Store::grant(const ImageId& id, std::uint32_t uid) const {
    return in_store(write_grant(id, uid), options_.path);
}

base::Result<void> Store::write_grant(const ImageId& id, std::uint32_t uid) const {
    if (options_.access == Access::read_only) {
        return base::fail(base::Code::store_unusable,
                          "cannot grant an image of the store " + base::in_quotes(options_.path) +
                              ": it is only read here");
    }
    if (!find_again(id)) {
        return not_in_store(id);
    }
    const auto until = ::time(nullptr) + static_cast<std::int64_t>(options_.max_job_time);
    TRY_ASSIGN(const auto grants, root_.part(Part::grants, O_RDONLY));
    TRY(step("grant-dir"));
    if (::mkdirat(grants.get(), id.c_str(), root_.dir_mode()) != 0 && errno != EEXIST) {
        return cannot(errno, "cannot grant an image");
    }
    TRY_ASSIGN(const auto dir, root_.inner(grants.get(), id, O_RDONLY));
    TRY_ASSIGN(const auto before, base::list_directory(dir.get()));
    const auto wanted = fmt::format("{}.{}", uid, until);
    TRY(step("grant-write"));
    if (const auto made = make_empty(dir.get(), wanted, 0644); !made) {
        return cannot(made.error().sys_errno, "cannot grant an image");
    }
    // The new grant is there; only now the older ones of this user go.
    for (const auto& entry : before) {
        const auto grant = parse_grant_name(entry.name);
        if (grant && grant->uid == uid && entry.name != wanted) {
            (void)remove_plain(dir.get(), entry.name, root_.owner());
        }
    }
    // Removed while it was granted: a grant of nothing protects nothing.
    if (!find_again(id)) {
        (void)drop_grants(id);
        return not_in_store(id);
    }
    return {};
}

/// False when something stays that is not ours.
bool Store::drop_grants(const ImageId& id) const {
    const auto grants = root_.part(Part::grants, O_RDONLY);
    const auto dir = grants ? root_.inner(grants->get(), id, O_RDONLY)
                            : base::Result<base::UniqueFd>();
    if (!grants || !dir) {
        return grants && dir.error().sys_errno == ENOENT;
    }
    if (const auto listed = base::list_directory(dir->get())) {
        for (const auto& entry : *listed) {
            if (parse_grant_name(entry.name)) {
                (void)remove_plain(dir->get(), entry.name, root_.owner());
            }
        }
    }
    return ::unlinkat(grants->get(), id.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT;
}

base::Result<void> Store::pin(const ImageId& id) const {
    if (!find(id)) {
        return not_in_store(id);
    }
    TRY_ASSIGN(const auto pins, root_.part(Part::pins, O_RDONLY));
    return in_store(make_empty(pins.get(), id, root_.file_mode()), options_.path);
}

base::Result<void> Store::unpin(const ImageId& id) const {
    TRY_ASSIGN(const auto pins, root_.part(Part::pins, O_RDONLY));
    if (!remove_plain(pins.get(), id, root_.owner()) && errno != ENOENT) {
        return cannot(errno, "cannot unpin an image");
    }
    return {};
}

} // namespace slipway::store
