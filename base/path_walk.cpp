// SPDX-License-Identifier: Apache-2.0
#include "base/path_walk.hpp"

#include "base/format.hpp"
#include "base/path.hpp"
#include "base/text.hpp"

#include <cerrno>
#include <climits>
#include <deque>

#include <fcntl.h>
#include <unistd.h>

namespace slipway::base {
namespace {

constexpr int max_links = 40; ///< as the kernel

class Walk {
  public:
    Walk(const std::string& path, WayRules& rules) : path_(path), rules_(rules) {}

    Result<UniqueFd> open(int flags) {
        TRY(path_.starts_with('/') ? enter_root() : enter_start("."));
        push_front(path_);
        while (!todo_.empty()) {
            const auto name = todo_.front();
            todo_.pop_front();
            if (name == "..") {
                TRY_ASSIGN(here_, open_at(here_.get(), "..", O_PATH | O_DIRECTORY));
                done_ = std::string(dir_name(done_));
                struct stat facts {};
                TRY(look(here_.get(), done_, facts));
                TRY(rules_.check(facts, done_)); // it may have been moved since it was entered
            } else if (const bool last = todo_.empty(); last) {
                TRY_ASSIGN(auto file, open_last(name, flags));
                if (file) {
                    return file;
                }
            } else {
                TRY(enter(name));
            }
        }
        // The path ended in "..", in a link to a directory that is done, or was "/".
        return open_at(here_.get(), ".", flags);
    }

  private:
    Result<void> enter_root() { return enter_start("/"); }

    Result<void> enter_start(const std::string& start) {
        TRY_ASSIGN(here_, open_file(start, O_PATH | O_DIRECTORY));
        done_ = start;
        struct stat facts {};
        TRY(look(here_.get(), done_, facts));
        return rules_.check(facts, done_);
    }

    void push_front(const std::string& path) {
        const auto names = components(path);
        todo_.insert(todo_.begin(), names.begin(), names.end());
    }

    [[nodiscard]] Result<void> look(int fd, const std::string& name, struct stat& facts) const {
        if (::fstat(fd, &facts) != 0) {
            return fail_errno(Code::io, errno, "cannot look at " + in_quotes(name));
        }
        return {};
    }

    /// Puts the components of a link in front of what is left.
    Result<void> follow(int link, const std::string& name) {
        if (++links_ > max_links) {
            return fail_errno(Code::io, ELOOP, "cannot open " + in_quotes(path_));
        }
        std::string target(PATH_MAX, '\0');
        const ssize_t length = ::readlinkat(link, "", target.data(), target.size());
        if (length <= 0 || static_cast<std::size_t>(length) == target.size()) {
            return fail_errno(Code::io, length < 0 ? errno : ENAMETOOLONG,
                              "cannot read the symlink " + in_quotes(name));
        }
        target.resize(static_cast<std::size_t>(length));
        push_front(target);
        return target.front() == '/' ? enter_root() : Result<void>();
    }

    /// Opens the next part without following it, checks it; a link is followed and gives false.
    Result<bool> step(const std::string& name, UniqueFd& part) {
        const auto whole = join_path(done_, name);
        // As a directory first: that mounts what an automounter keeps there. ENOTDIR: a file or a link.
        auto opened = open_at(here_.get(), name, O_PATH | O_NOFOLLOW | O_DIRECTORY);
        if (!opened && opened.error().sys_errno == ENOENT) {
            TRY_ASSIGN(const bool made, rules_.make(here_.get(), name, whole, todo_.empty()));
            if (made) {
                opened = open_at(here_.get(), name, O_PATH | O_NOFOLLOW | O_DIRECTORY);
            }
        }
        if (!opened && (opened.error().sys_errno == ENOTDIR || opened.error().sys_errno == ELOOP)) {
            opened = open_at(here_.get(), name, O_PATH | O_NOFOLLOW);
        }
        if (!opened) {
            return fail_errno(Code::io, opened.error().sys_errno, "cannot open " + in_quotes(whole));
        }
        part = std::move(*opened);
        struct stat facts {};
        TRY(look(part.get(), whole, facts));
        TRY(rules_.check(facts, whole));
        if (S_ISLNK(facts.st_mode)) {
            TRY(follow(part.get(), whole));
            return false;
        }
        return true;
    }

    Result<void> enter(const std::string& name) {
        UniqueFd part;
        TRY_ASSIGN(const bool there, step(name, part));
        if (there) {
            here_ = std::move(part);
            done_ = join_path(done_, name);
        }
        return {};
    }

    /// Empty when it was a symlink, which is now what is left to do.
    Result<UniqueFd> open_last(const std::string& name, int flags) {
        UniqueFd part;
        TRY_ASSIGN(const bool there, step(name, part));
        if (!there) {
            return UniqueFd();
        }
        if ((flags & O_PATH) != 0) {
            return part;
        }
        // By way of /proc the very file that was checked is opened, whatever its name means by now.
        return open_file(fmt::format("/proc/self/fd/{}", part.get()), flags & ~O_NOFOLLOW);
    }

    const std::string& path_;
    WayRules& rules_;
    UniqueFd here_;
    std::string done_;
    std::deque<std::string> todo_;
    int links_ = 0;
};

} // namespace

Result<bool> WayRules::make(int, const std::string&, const std::string&, bool) {
    return false;
}

Result<UniqueFd> walk_path(const std::string& path, int flags, WayRules& rules) {
    return Walk(path, rules).open(flags);
}

} // namespace slipway::base
