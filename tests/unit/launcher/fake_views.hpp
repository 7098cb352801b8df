// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/path.hpp"
#include "launcher/views.hpp"

#include <algorithm>
#include <map>
#include <set>

namespace slipway::test {

/// An image painted by a test: "path" is a file, "path/" a directory, {"path", "target"} a symlink.
class FakeImage final : public launcher::ImageView {
  public:
    FakeImage() { add("/"); }
    void add(const std::string& path) {
        const bool directory = path.back() == '/';
        auto name = directory && path.size() > 1 ? path.substr(0, path.size() - 1) : path;
        entries_[name] = {directory ? launcher::EntryKind::directory : launcher::EntryKind::file,
                          {}};
    }
    void link(const std::string& path, const std::string& target) {
        entries_[path] = {launcher::EntryKind::symlink, target};
    }
    void file(const std::string& path, const std::string& content) {
        add(path);
        contents_[path] = content;
    }

    base::Result<launcher::Entry> lookup(const std::string& path) const override {
        const auto found = entries_.find(path);
        return found == entries_.end() ? launcher::Entry{} : found->second;
    }
    launcher::EntryKind kind(const std::string& path) const override {
        const auto found = entries_.find(followed(path));
        return found == entries_.end() ? launcher::EntryKind::missing : found->second.kind;
    }
    base::Result<std::vector<std::pair<std::string, launcher::Entry>>>
    list(const std::string& link, std::size_t max) const override {
        const auto path = followed(link);
        if (!entries_.contains(path)) {
            return base::fail(base::Code::io, "no such directory");
        }
        const auto prefix = path == "/" ? path : path + "/";
        std::vector<std::pair<std::string, launcher::Entry>> names;
        for (const auto& [name, entry] : entries_) {
            if (name.size() > prefix.size() && name.starts_with(prefix) &&
                name.find('/', prefix.size()) == std::string::npos) {
                names.emplace_back(name.substr(prefix.size()), entry);
            }
        }
        if (names.size() > max) {
            return base::fail(base::Code::limit_exceeded, "too many entries");
        }
        return names;
    }
    std::optional<std::string> read(const std::string& path, std::size_t) const override {
        const auto found = contents_.find(followed(path));
        return found == contents_.end() ? std::nullopt : std::optional(found->second);
    }

  private:
    /// The path behind all symlinks; "" for a loop.
    std::string followed(const std::string& path, int links = 0) const {
        std::string at = "/";
        const auto parts = base::components(path);
        for (std::size_t i = 0; i < parts.size(); ++i) {
            const auto next = base::clean_path(at + "/" + parts[i]);
            const auto found = entries_.find(next);
            if (found != entries_.end() && found->second.kind == launcher::EntryKind::symlink) {
                auto rest = found->second.link.starts_with('/') ? found->second.link
                                                                : at + "/" + found->second.link;
                for (std::size_t k = i + 1; k < parts.size(); ++k) {
                    rest += "/" + parts[k];
                }
                return links > 40 ? "" : followed(rest, links + 1);
            }
            at = next;
        }
        return at;
    }

    std::map<std::string, launcher::Entry> entries_;
    std::map<std::string, std::string> contents_;
};

/// A host with the given directories ("x/"), files and devices ("@x").
class FakeHost final : public launcher::HostView {
  public:
    explicit FakeHost(const std::vector<std::string>& paths) {
        for (const auto& path : paths) {
            add(path);
        }
    }
    void add(const std::string& path) {
        const bool device = path.front() == '@';
        const bool directory = path.back() == '/';
        auto name = path.substr(device ? 1 : 0);
        name = directory && name.size() > 1 ? name.substr(0, name.size() - 1) : name;
        entries_[name] = {0, directory ? launcher::EntryKind::directory : launcher::EntryKind::file,
                          device, true};
    }
    void forbid(const std::string& path) { entries_[path].readable = false; }

    base::Result<launcher::HostEntry> open(const std::string& path) override {
        const auto found = entries_.find(path);
        if (found == entries_.end()) {
            return base::fail_errno(base::Code::mount_source_missing, ENOENT,
                                    "cannot open '" + path + "'");
        }
        auto entry = found->second;
        entry.handle = static_cast<int>(opened_.size());
        opened_.push_back(path);
        return entry;
    }
    std::optional<std::string> start_of(int handle, std::size_t max) override {
        const auto found = contents_.find(opened_.at(static_cast<std::size_t>(handle)));
        return found == contents_.end() ? std::nullopt
                                        : std::optional(found->second.substr(0, max));
    }
    std::optional<std::string> read(const std::string& path, std::size_t max) override {
        const auto found = contents_.find(path);
        return found == contents_.end() || found->second.size() > max
                   ? std::nullopt
                   : std::optional(found->second);
    }
    std::vector<std::string> names(const std::string& directory) override {
        std::vector<std::string> list;
        for (const auto& [path, entry] : entries_) {
            if (base::dir_name(path) == directory && path != "/") {
                list.emplace_back(base::base_name(path));
            }
        }
        return list;
    }
    /// How often a path was opened.
    [[nodiscard]] std::size_t opened(const std::string& path) const {
        return static_cast<std::size_t>(std::count(opened_.begin(), opened_.end(), path));
    }
    void file(const std::string& path, const std::string& content) {
        add(path);
        contents_[path] = content;
    }

  private:
    std::map<std::string, launcher::HostEntry> entries_;
    std::vector<std::string> opened_; ///< by handle
    std::map<std::string, std::string> contents_;
};

} // namespace slipway::test
