// SPDX-License-Identifier: Apache-2.0
// What in a store is not the store's: every name is looked at, nothing is changed.
#include "base/format.hpp"
#include "base/path.hpp"
#include "base/text.hpp"
#include "store/files.hpp"
#include "store/process_id.hpp"
#include "store/store.hpp"

#include <algorithm>

#include <fcntl.h>
#include <sys/stat.h>

namespace slipway::store {
namespace {

std::string_view type_text(mode_t mode) {
    switch (mode & S_IFMT) {
    case S_IFREG:
        return "file";
    case S_IFDIR:
        return "directory";
    case S_IFLNK:
        return "link";
    case S_IFIFO:
        return "FIFO";
    case S_IFSOCK:
        return "socket";
    default:
        return "device";
    }
}

bool is_file(const Entry& entry) {
    return S_ISREG(entry.facts.st_mode);
}

class Survey {
  public:
    explicit Survey(const Root& root) : root_(root) {}

    base::Result<std::vector<Foreign>> take() {
        TRY_ASSIGN(const auto root, root_.directory(O_RDONLY));
        TRY(look(root.get(), root_.path(), [this](const Entry& entry) { return of_top(entry); }));
        for (const auto part : parts) {
            const auto dir = root_.inner(root.get(), name_of(part), O_RDONLY);
            if (!dir) {
                if (dir.error().sys_errno != ENOENT) {
                    found_.push_back({path_of(part), dir.error().message});
                }
                continue;
            }
            TRY(look(dir->get(), path_of(part), [this, part](const Entry& entry) {
                return is_written(part, entry, root_.owner());
            }));
            if (part == Part::refs || part == Part::grants || part == Part::tmp) {
                TRY(look_inside(part, dir->get()));
            }
        }
        return std::move(found_);
    }

  private:
    [[nodiscard]] std::string path_of(Part part) const {
        return base::join_path(root_.path(), name_of(part));
    }

    [[nodiscard]] bool of_top(const Entry& entry) const {
        if (S_ISDIR(entry.facts.st_mode)) {
            return std::find(part_names.begin(), part_names.end(), entry.name) != part_names.end();
        }
        return is_file(entry) && (entry.name == mark_name || is_unfinished_mark(entry.name) ||
                                  is_clock(entry.name));
    }

    template <typename IsOurs>
    base::Result<void> look(int dir, const std::string& path, const IsOurs& is_ours) {
        TRY_ASSIGN(const auto listed, entries(dir));
        for (const auto& entry : listed) {
            if (path == root_.path() && is_of_file_system(entry)) {
                continue;
            }
            const auto whole = base::join_path(path, entry.name);
            if (entry.facts.st_uid != root_.owner()) {
                found_.push_back({whole, fmt::format("belongs to user {}", entry.facts.st_uid)});
            } else if (!is_ours(entry)) {
                found_.push_back({whole, fmt::format("a {} that slipway has not made",
                                                     type_text(entry.facts.st_mode))});
            }
        }
        return {};
    }

    /// The directories in refs/, grants/ and tmp/ that have names of ours.
    base::Result<void> look_inside(Part part, int dir) {
        TRY_ASSIGN(const auto listed, entries(dir));
        for (const auto& entry : listed) {
            if (!S_ISDIR(entry.facts.st_mode) || !is_written(part, entry, root_.owner())) {
                continue;
            }
            const auto path = base::join_path(path_of(part), entry.name);
            const auto inner = part == Part::tmp ? open_work(dir, entry.name, root_.owner())
                                                 : root_.inner(dir, entry.name, O_RDONLY);
            if (!inner) {
                if (inner.error().sys_errno != ENOENT) {
                    found_.push_back({path, inner.error().message});
                }
            } else if (part == Part::tmp && names_another(inner->get(), entry.name)) {
                found_.push_back({path, "the owner that it names is not the one of its name"});
            } else {
                TRY(look(inner->get(), path, [part](const Entry& each) {
                    return is_file(each) && (part == Part::refs ? is_ref_record(each.name) ||
                                                                      is_unfinished_ref(each.name)
                                             : part == Part::grants
                                                 ? parse_grant_name(each.name).has_value()
                                                 : is_work_content(each.name));
                }));
            }
        }
        return {};
    }

    [[nodiscard]] bool names_another(int dir, const std::string& name) const {
        const auto work = parse_work_name(name);
        const auto text = read_plain(dir, owner_name, max_owner_bytes, root_.owner());
        const auto owner = text ? ProcessId::parse(*text) : ProcessId();
        return text && work && (owner.host != work->host || owner.pid != work->pid);
    }

    const Root& root_;
    std::vector<Foreign> found_;
};

} // namespace

std::string left_alone(const Foreign& foreign) {
    return fmt::format("does not belong to the store and is left alone ({})", foreign.why);
}

base::Result<std::vector<Foreign>> Store::foreign() const {
    return Survey(root_).take();
}

} // namespace slipway::store
