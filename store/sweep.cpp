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

constexpr std::size_t max_owner_bytes = 1024;
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
        return S_ISREG(entry.facts.st_mode) &&
               (entry.name == "owner.new" || is_unfinished(entry.name));
    });
}

} // namespace

/// Whether a work directory can go. One that does not say whose it is can only when it is empty: a
/// process that was killed between making it and naming itself has left only its name.
bool Store::work_is_dead(int tmp, const Entry& entry, std::int64_t now, Swept& swept) const {
    const auto foreign = [&] {
        swept.left.push_back(directory("tmp") + "/" + entry.name);
        return false;
    };
    const auto work = parse_work_name(entry.name);
    const auto dir = root_.inner(tmp, entry.name, O_RDONLY);
    const auto inside = dir ? entries(dir->get()) : base::Result<std::vector<Entry>>();
    if (!work || !dir || !inside) {
        return dir || dir.error().sys_errno != 0 ? false : foreign();
    }
    const auto text = read_plain(dir->get(), "owner", max_owner_bytes, root_.owner());
    if (!text && text.error().sys_errno != ENOENT) {
        return false; // cannot be told just now
    }
    auto state = Liveness::unknown;
    if (text) {
        const auto owner = ProcessId::parse(*text);
        if (owner.host != work->host || owner.pid != work->pid) {
            return foreign();
        }
        state = liveness(owner);
    } else if (!holds_nothing(*inside)) {
        return foreign();
    } else if (is_gone(*work)) {
        state = Liveness::dead;
    }
    const auto stale_s = static_cast<std::int64_t>(options_.foreign_tmp_stale_s);
    return state == Liveness::dead ||
           (state == Liveness::unknown && now != 0 &&
            now - last_change(dir->get(), *inside) > stale_s);
}

base::Result<void> Store::sweep_tmp(bool remove, Swept& swept) const {
    TRY_ASSIGN(const auto tmp, root_.part(Part::tmp, O_RDONLY));
    TRY_ASSIGN(const auto listed, entries(tmp.get()));
    const auto now = remove ? server_now(tmp.get()) : 0;
    for (const auto& entry : listed) {
        if (entry.facts.st_uid != root_.owner() ||
            !is_written_name(Part::tmp, entry.name, entry.facts.st_mode)) {
            swept.left.push_back(directory("tmp") + "/" + entry.name);
            continue;
        }
        bool gone = false;
        if (S_ISDIR(entry.facts.st_mode)) {
            gone = work_is_dead(tmp.get(), entry, now, swept) && remove &&
                   remove_tree(tmp.get(), entry.name, root_.owner());
        } else {
            const auto work = parse_work_name(entry.name.substr(0, entry.name.rfind('.')));
            gone = ((work && is_gone(*work)) || is_older(entry.facts, leftover_s, now)) &&
                   remove && remove_plain(tmp.get(), entry.name, root_.owner());
        }
        swept.removed += gone ? 1 : 0;
    }
    return {};
}

/// A holder killed behind its commit leaves a lease that nobody will ask for again.
base::Result<void> Store::sweep_leases(bool remove, Swept& swept) const {
    TRY_ASSIGN(const auto leases, root_.part(Part::leases, O_RDONLY));
    TRY_ASSIGN(const auto listed, entries(leases.get()));
    for (const auto& entry : listed) {
        if (entry.facts.st_uid != root_.owner() ||
            !is_written_name(Part::leases, entry.name, entry.facts.st_mode)) {
            swept.left.push_back(directory("leases") + "/" + entry.name);
            continue;
        }
        const auto text = read_plain(leases.get(), entry.name, max_owner_bytes, root_.owner());
        if (remove && text && liveness(ProcessId::parse(*text)) == Liveness::dead &&
            remove_plain(leases.get(), entry.name, root_.owner())) {
            ++swept.removed;
        }
    }
    return {};
}

/// Provenance that was moved aside and never removed or put back; grants of images that are gone.
base::Result<void> Store::sweep_images(bool remove, Swept& swept) const {
    TRY_ASSIGN(const auto grants, root_.part(Part::grants, O_RDONLY));
    TRY_ASSIGN(const auto granted, base::list_directory(grants.get()));
    // Listed after the grants: whoever granted an image had seen it.
    TRY_ASSIGN(const auto images, root_.part(Part::images, O_RDONLY));
    TRY_ASSIGN(const auto listed, base::list_directory(images.get()));
    std::set<std::string> names;
    for (const auto& entry : listed) {
        names.insert(entry.name);
    }
    // Only what finds something asks for the time: asking makes a file, which changes a directory.
    TRY_ASSIGN(const auto tmp, root_.part(Part::tmp, O_RDONLY));
    for (const auto& name : names) {
        const auto id = parse_removed_provenance(name);
        struct stat facts {};
        if (!id || !remove ||
            ::fstatat(images.get(), name.c_str(), &facts, AT_SYMLINK_NOFOLLOW) != 0 ||
            !S_ISREG(facts.st_mode) || facts.st_uid != root_.owner()) {
            continue;
        }
        if (find(*id)) {
            (void)!::linkat(images.get(), name.c_str(), images.get(), (*id + ".json").c_str(), 0);
        }
        if (is_older(facts, leftover_s, server_now(tmp.get()))) {
            swept.removed += remove_plain(images.get(), name, root_.owner()) ? 1 : 0;
        }
    }
    for (const auto& entry : granted) {
        if (!is_image_id(entry.name)) {
            if (!entry.name.starts_with(".nfs")) {
                swept.left.push_back(directory("grants") + "/" + entry.name);
            }
        } else if (remove && names.count(entry.name + ".sif") == 0 && drop_grants(entry.name)) {
            ++swept.removed;
        }
    }
    return {};
}

base::Result<Swept> Store::sweep_parts(bool remove) const {
    Swept swept;
    TRY(sweep_tmp(remove, swept));
    TRY(sweep_leases(remove, swept));
    TRY(sweep_images(remove, swept));
    return swept;
}

base::Result<Swept> Store::sweep() const {
    TRY_ASSIGN(const auto root, root_.directory(O_RDONLY));
    TRY_ASSIGN(const auto listed, entries(root.get()));
    for (const auto& entry : listed) {
        if (is_unfinished(entry.name) && entry.name.starts_with(mark_name) &&
            is_older(entry.facts, leftover_s, server_now(root.get()))) {
            (void)remove_plain(root.get(), entry.name, root_.owner());
        }
    }
    return sweep_parts(true);
}

} // namespace slipway::store
