// SPDX-License-Identifier: Apache-2.0
#include "launcher/targets.hpp"

#include "base/format.hpp"
#include "base/path.hpp"
#include "base/text.hpp"

#include <algorithm>
#include <deque>

namespace slipway::launcher {
namespace {

using base::Code;
using base::fail;
using base::in_quotes;
using base::Result;

constexpr int max_links = 40;
/// Up to here every entry is bound back; a bigger directory gets an overlay. Measured: a bind costs
/// about 8 us, an overlay 150 us and a little for every look-up in it.
constexpr std::size_t max_rebuilt_entries = 24;
/// The root is always rebuilt, so that not every look-up in the container goes through an overlay.
constexpr std::size_t max_root_entries = 1024;

std::string child_of(const std::string& directory, const std::string& name) {
    return directory == "/" ? "/" + name : directory + "/" + name;
}

std::string below(const std::string& directory, const std::string& path) {
    return path.substr(directory == "/" ? 1 : directory.size() + 1);
}

void push_front(std::deque<std::string>& pending, const std::string& path) {
    const auto parts = base::components(path);
    pending.insert(pending.begin(), parts.begin(), parts.end());
}

} // namespace

Result<Entry> Targets::entry_at(const std::string& path) const {
    if (const auto known = seen_.find(path); known != seen_.end()) {
        return known->second;
    }
    TRY_ASSIGN(auto entry, image_.lookup(path));
    return seen_.emplace(path, std::move(entry)).first->second;
}

const Operation* Targets::covering(const std::string& path) const {
    // The last mount that hides a path is the one that shows it, whatever lies below.
    for (auto it = covers_.rbegin(); it != covers_.rend(); ++it) {
        if (base::is_beneath(path, it->target)) {
            return &*it;
        }
    }
    return nullptr;
}

void Targets::cover(const Operation& operation) {
    covers_.push_back(operation);
}

void Targets::written(const std::string& path) {
    seen_.insert_or_assign(path, Entry{EntryKind::file, {}});
    for (auto parent = base::dir_name(path); parent != "/"; parent = base::dir_name(parent)) {
        seen_.insert_or_assign(std::string(parent), Entry{EntryKind::directory, {}});
    }
}

void Targets::enter_cover(Walk& walk, const Operation& cover, const std::deque<std::string>& rest) {
    // What is in there is not the image's any more: the rest is found when it is mounted.
    walk.cover = &cover;
    walk.kind = cover.target == walk.path && rest.empty() ? cover.shape : EntryKind::missing;
    for (const auto& name : rest) {
        walk.path = child_of(walk.path, name);
    }
}

void Targets::enter_missing(Walk& walk, const std::deque<std::string>& rest) {
    walk.kind = EntryKind::missing;
    for (const auto& name : rest) {
        // A dangling symlink may have brought ".." into the missing part.
        walk.path =
            name == ".." ? std::string(base::dir_name(walk.path)) : child_of(walk.path, name);
    }
}

Result<Targets::Walk> Targets::walk(const std::string& path, bool replace_link) const {
    Walk walk{"/", EntryKind::directory, "/", nullptr, false};
    std::deque<std::string> pending;
    push_front(pending, path);
    int links = 0;
    while (!pending.empty()) {
        const auto name = std::move(pending.front());
        pending.pop_front();
        if (name == "..") {
            walk.path = std::string(base::dir_name(walk.path));
            walk.deepest = walk.path;
            continue;
        }
        const auto next = child_of(walk.path, name);
        if (const auto* cover = covering(next)) {
            walk.path = next;
            enter_cover(walk, *cover, pending);
            return walk;
        }
        TRY_ASSIGN(const auto entry, entry_at(next));
        if (entry.kind == EntryKind::symlink && !(replace_link && pending.empty())) {
            if (++links > max_links) {
                return fail(Code::mount_target_invalid,
                            fmt::format("{} runs into too many symlinks", in_quotes(path)),
                            "mount at another place");
            }
            push_front(pending, entry.link);
            if (!entry.link.empty() && entry.link.front() == '/') {
                walk.path = "/";
                walk.deepest = "/";
            }
            continue;
        }
        walk.path = next;
        walk.kind = entry.kind;
        walk.link_replaced = entry.kind == EntryKind::symlink;
        if (entry.kind == EntryKind::directory) {
            walk.deepest = next;
        } else if (entry.kind == EntryKind::file && !pending.empty()) {
            return fail(Code::mount_target_invalid,
                        fmt::format("{} is not a directory in the image", in_quotes(next)),
                        "mount at another place");
        } else {
            enter_missing(walk, pending);
            walk.kind = entry.kind == EntryKind::file ? EntryKind::file : EntryKind::missing;
            // A mount may have been planned below a directory that the image lacks.
            if (const auto* cover = covering(walk.path)) {
                enter_cover(walk, *cover, {});
            }
            return walk;
        }
    }
    return walk;
}

Result<Entry> Targets::look(const std::string& path) const {
    TRY_ASSIGN(const auto found, walk(path, false));
    return Entry{found.kind, {}};
}

Result<std::string> Targets::canonical(const std::string& path) const {
    TRY_ASSIGN(auto found, walk(path, false));
    return std::move(found.path);
}

void Targets::note(const std::string& directory, const std::string& path, EntryKind kind) {
    auto& list = made_[directory];
    auto name = below(directory, path);
    for (auto& [known, known_kind] : list) {
        if (known == name) {
            return;
        }
    }
    list.emplace_back(std::move(name), kind);
}

Result<Targets::Place> Targets::place(const std::string& target, EntryKind kind,
                                      bool replace_link) {
    TRY_ASSIGN(const auto found, walk(target, replace_link));
    const auto create = kind == EntryKind::directory ? Create::directory : Create::file;
    if (found.path == "/" || found.path == "/dev" || found.path == "/sys" ||
        base::is_beneath(found.path, "/proc")) {
        if (found.path != base::clean_path(target)) {
            return fail(Code::mount_target_invalid,
                        fmt::format("{} leads to {} in the image, which is the system's own",
                                    in_quotes(target), in_quotes(found.path)),
                        "mount at another place");
        }
    }
    if (found.cover != nullptr) {
        const bool ours = found.cover->kind == Operation::Kind::tmpfs || found.cover->own;
        return Place{found.path, ours ? create : Create::nothing, found.cover};
    }
    if (found.kind != EntryKind::missing) {
        if (found.kind != kind) {
            return fail(Code::mount_target_invalid,
                        fmt::format("{} is a {} in the image but the source is a {}",
                                    in_quotes(found.path), entry_kinds.name(found.kind),
                                    entry_kinds.name(kind)),
                        "mount a directory on a directory and a file on a file");
        }
        return Place{found.path};
    }
    if (missing_ == MissingPoints::refused) {
        return fail(Code::mount_target_invalid,
                    fmt::format("destination {} doesn't exist in container", in_quotes(found.path)),
                    "the image's directory is somebody else's: leave out --writable, or ask its "
                    "owner to make it");
    }
    if (missing_ == MissingPoints::made) {
        return Place{found.path, create};
    }
    // A ".." in a dangling symlink can have led back above the deepest directory seen.
    auto directory = found.link_replaced ? std::string(base::dir_name(found.path)) : found.deepest;
    while (!base::is_beneath(found.path, directory)) {
        directory = std::string(base::dir_name(directory));
    }
    note(directory, found.path, kind);
    return Place{found.path};
}

Result<std::vector<Underlay>> Targets::underlays() const {
    std::vector<Underlay> layers;
    for (const auto& [directory, made] : made_) {
        Underlay layer;
        layer.target = directory;
        layer.make = made;
        const bool root = directory == "/";
        auto names = image_.list(directory, root ? max_root_entries : max_rebuilt_entries);
        if (names) {
            layer.keep = std::move(*names);
        } else if (names.error().code == Code::limit_exceeded && !root) {
            layer.method = Underlay::Method::layered;
        } else {
            return fail(Code::mount_target_invalid,
                        fmt::format("cannot make {} in the image: {}",
                                    in_quotes(child_of(directory, made.front().first)),
                                    names.error().message),
                        "mount below a directory that the image has");
        }
        std::erase_if(layer.keep, [&made = made](const auto& kept) {
            return std::any_of(made.begin(), made.end(), [&](const auto& item) {
                return base::is_beneath("/" + item.first, "/" + kept.first);
            });
        });
        layers.push_back(std::move(layer));
    }
    return layers; // a map by path: "/" < "/a" < "/a/b", parents come first
}

} // namespace slipway::launcher
