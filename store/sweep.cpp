// SPDX-License-Identifier: Apache-2.0
// Leftovers of processes that are gone. Only names of layout.hpp, of the right type and of the
// store's owner are removed.
#include "base/directory.hpp"
#include "base/format.hpp"
#include "base/text.hpp"
#include "store/files.hpp"
#include "store/process_id.hpp"
#include "store/store.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <set>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace slipway::store {
namespace {

/// Files that live for moments are leftovers after that long, by the file server's clock.
constexpr std::int64_t leftover_s = 3600;

bool is_older(const struct stat& facts, std::int64_t seconds, std::int64_t now) {
    // ctime: a rename changes it, a mtime can be anything.
    return now != 0 && now - facts.st_ctime > seconds;
}

/// By the pid in a name alone, for what carries no more.
bool is_gone(const WorkName& work) {
    return work.host == ProcessId::self().host && ::kill(work.pid, 0) != 0 && errno == ESRCH;
}

/// Newest change of anything directly in a work directory.
std::int64_t last_change(int dir, const std::vector<Entry>& inside) {
    struct stat facts {};
    std::int64_t newest = ::fstat(dir, &facts) == 0 ? facts.st_mtime : 0;
    for (const auto& entry : inside) {
        newest = std::max<std::int64_t>(newest, entry.facts.st_mtime);
    }
    return newest;
}

/// Nothing but a note of its owner that was never finished.
bool holds_nothing(const std::vector<Entry>& inside) {
    return std::all_of(inside.begin(), inside.end(), [](const Entry& entry) {
        return S_ISREG(entry.facts.st_mode) && is_unfinished_owner(entry.name);
    });
}

} // namespace

/// Whether a work directory can go. One that does not say whose it is can only when it is empty: a
/// process that was killed between making it and naming itself has left only its name.
bool Store::work_is_dead(int tmp, const Entry& entry, std::int64_t now) const {
    const auto work = parse_work_name(entry.name);
    const auto dir = open_work(tmp, entry.name, root_.owner());
    const auto inside = dir ? entries(dir->get()) : base::Result<std::vector<Entry>>();
    if (!work || !dir || !inside) {
        return false;
    }
    const auto text = read_plain(dir->get(), owner_name, max_owner_bytes, root_.owner());
    if (!text && (text.error().sys_errno != ENOENT || !holds_nothing(*inside))) {
        return false;
    }
    auto state = Liveness::unknown;
    if (text) {
        const auto owner = ProcessId::parse(*text);
        if (owner.host != work->host || owner.pid != work->pid) {
            return false;
        }
        state = liveness(owner);
    } else if (is_gone(*work)) {
        state = Liveness::dead;
    }
    const auto stale_s = static_cast<std::int64_t>(options_.foreign_tmp_stale_s);
    return state == Liveness::dead ||
           (state == Liveness::unknown && now != 0 &&
            now - last_change(dir->get(), *inside) > stale_s);
}

/// Of a file in tmp/, which is there for moments: a record that is written, or the clock.
bool Store::work_file_is_dead(const Entry& entry, std::int64_t now) const {
    if (is_clock(entry.name)) {
        return entry.facts.st_size == 0 && is_older(entry.facts, leftover_s, now);
    }
    const auto work = parse_work_name(std::string_view(entry.name).substr(entry.name.find('.') + 1));
    return (work && is_gone(*work)) || is_older(entry.facts, leftover_s, now);
}

base::Result<std::size_t> Store::sweep_tmp() const {
    TRY_ASSIGN(const auto tmp, root_.part(Part::tmp, O_RDONLY));
    TRY_ASSIGN(const auto listed, entries(tmp.get()));
    const auto now = server_now(tmp.get());
    std::size_t removed = 0;
    for (const auto& entry : listed) {
        if (!is_written(Part::tmp, entry, root_.owner())) {
            continue;
        }
        const bool gone = S_ISDIR(entry.facts.st_mode)
                              ? work_is_dead(tmp.get(), entry, now) &&
                                    remove_work(tmp.get(), entry.name, root_.owner())
                              : work_file_is_dead(entry, now) &&
                                    remove_plain(tmp.get(), entry.name, root_.owner());
        removed += gone ? 1 : 0;
    }
    return removed;
}

/// A holder killed behind its commit leaves a lease that nobody will ask for again.
base::Result<std::size_t> Store::sweep_leases() const {
    TRY_ASSIGN(const auto leases, root_.part(Part::leases, O_RDONLY));
    TRY_ASSIGN(const auto listed, entries(leases.get()));
    std::size_t removed = 0;
    for (const auto& entry : listed) {
        if (!is_written(Part::leases, entry, root_.owner())) {
            continue;
        }
        const auto text = read_plain(leases.get(), entry.name, max_owner_bytes, root_.owner());
        if (text && liveness(ProcessId::parse(*text)) == Liveness::dead &&
            remove_plain(leases.get(), entry.name, root_.owner())) {
            ++removed;
        }
    }
    return removed;
}

/// Provenance that was moved aside and never removed or put back.
base::Result<std::size_t> Store::sweep_provenance(int images,
                                                  const std::set<std::string>& names) const {
    TRY_ASSIGN(const auto tmp, root_.part(Part::tmp, O_RDONLY));
    std::size_t removed = 0;
    for (const auto& name : names) {
        const auto id = parse_removed_provenance(name);
        struct stat facts {};
        if (!id || ::fstatat(images, name.c_str(), &facts, AT_SYMLINK_NOFOLLOW) != 0 ||
            !S_ISREG(facts.st_mode) || facts.st_uid != root_.owner()) {
            continue;
        }
        if (find(*id)) {
            (void)!::linkat(images, name.c_str(), images, (*id + ".json").c_str(), 0);
        }
        // Only what finds something asks for the time: asking makes a file, which changes a
        // directory.
        if (is_older(facts, leftover_s, server_now(tmp.get()))) {
            removed += remove_plain(images, name, root_.owner()) ? 1 : 0;
        }
    }
    return removed;
}

base::Result<std::size_t> Store::sweep_images() const {
    TRY_ASSIGN(const auto grants, root_.part(Part::grants, O_RDONLY));
    TRY_ASSIGN(const auto granted, base::list_directory(grants.get()));
    // Listed after the grants: whoever granted an image had seen it.
    TRY_ASSIGN(const auto images, root_.part(Part::images, O_RDONLY));
    TRY_ASSIGN(const auto listed, base::list_directory(images.get()));
    std::set<std::string> names;
    for (const auto& entry : listed) {
        names.insert(entry.name);
    }
    TRY_ASSIGN(auto removed, sweep_provenance(images.get(), names));
    for (const auto& entry : granted) {
        if (is_image_id(entry.name) && names.count(entry.name + ".sif") == 0 &&
            drop_grants(entry.name)) {
            ++removed;
        }
    }
    return removed;
}

base::Result<std::size_t> Store::sweep() const {
    // Whoever has just decided that this is an older store may be wrong: nothing goes on that ground.
    if (root_.marked_now()) {
        return 0;
    }
    TRY_ASSIGN(const auto root, root_.directory(O_RDONLY));
    TRY_ASSIGN(const auto listed, entries(root.get()));
    for (const auto& entry : listed) {
        if (is_unfinished_mark(entry.name) &&
            is_older(entry.facts, leftover_s, server_now(root.get()))) {
            (void)remove_plain(root.get(), entry.name, root_.owner());
        }
    }
    TRY_ASSIGN(const auto work, sweep_tmp());
    TRY_ASSIGN(const auto leases, sweep_leases());
    TRY_ASSIGN(const auto images, sweep_images());
    return work + leases + images;
}

} // namespace slipway::store
