// SPDX-License-Identifier: Apache-2.0
#include "store/walk.hpp"

#include "base/errno_code.hpp"
#include "base/format.hpp"
#include "base/path.hpp"
#include "base/text.hpp"

#include <array>
#include <cerrno>
#include <climits>
#include <deque>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace slipway::store {
namespace {

using base::Code;

/// As many as the kernel follows.
constexpr int max_links = 40;
constexpr int directory_flags = O_PATH | O_NOFOLLOW | O_DIRECTORY;

class Walk {
  public:
    Walk(const std::string& path, std::optional<uid_t> link_owner, std::optional<mode_t> make)
        : path_(path), link_owner_(link_owner), make_(make) {}

    base::Result<base::UniqueFd> to_end() {
        TRY(go_to_start(path_));
        for (auto& part : base::components(path_)) {
            ahead_.push_back(std::move(part));
        }
        while (!ahead_.empty()) {
            const auto name = std::move(ahead_.front());
            ahead_.pop_front();
            TRY(enter(name));
        }
        struct stat facts {};
        if (!link_owner_ && ::fstat(here_.get(), &facts) == 0) {
            for (const auto& link : links_) {
                TRY(check(link, facts.st_uid));
            }
        }
        return std::move(here_);
    }

  private:
    struct Link {
        std::string name;
        uid_t owner;
    };

    base::Result<void> check(const Link& link, uid_t owner) const {
        if (link.owner == 0 || link.owner == owner) {
            return {};
        }
        return base::fail(Code::store_unusable,
                          fmt::format("on the way to the store {} the link {} belongs to uid {}",
                                      base::in_quotes(path_), base::in_quotes(link.name),
                                      link.owner),
                          "name a directory that no link of another user leads to");
    }

    base::Result<void> go_to_start(std::string_view path) {
        const bool absolute = path.starts_with('/');
        if (absolute || !here_) {
            TRY_ASSIGN(here_, base::open_file(absolute ? "/" : ".", directory_flags));
        }
        return {};
    }

    base::Result<void> enter(const std::string& name) {
        auto next = base::open_at(here_.get(), name, directory_flags);
        if (!next && next.error().sys_errno == ENOENT && make_) {
            TRY_ASSIGN(next, made(name));
        }
        if (next) {
            here_ = std::move(*next);
            return {};
        }
        const int err = next.error().sys_errno;
        if (err == ENOTDIR || err == ELOOP) {
            return follow(name);
        }
        return base::fail_errno(Code::store_unusable, err,
                                "the store " + base::in_quotes(path_) + " is not there",
                                "create it, or set store.path in the site configuration");
    }

    base::Result<base::UniqueFd> made(const std::string& name) {
        if (::mkdirat(here_.get(), name.c_str(), *make_) == 0) {
            // The caller's umask does not decide who may read the store itself.
            if (ahead_.empty()) {
                (void)!::fchmodat(here_.get(), name.c_str(), *make_, 0);
            }
        } else if (errno != EEXIST) {
            return base::fail_errno(base::code_of_errno(errno, Code::store_unusable), errno,
                                    fmt::format("cannot create directory {} for the store {}",
                                                base::in_quotes(name), base::in_quotes(path_)),
                                    "set store.path to a place that you may write to");
        }
        return base::open_at(here_.get(), name, directory_flags);
    }

    base::Result<void> follow(const std::string& name) {
        TRY_ASSIGN(const auto link, base::open_at(here_.get(), name, O_PATH | O_NOFOLLOW));
        struct stat facts {};
        if (::fstat(link.get(), &facts) != 0 || !S_ISLNK(facts.st_mode)) {
            return base::fail(Code::store_unusable,
                              "the store " + base::in_quotes(path_) + " is not a directory",
                              "name a directory, or one that is not there yet");
        }
        links_.push_back({name, facts.st_uid});
        if (link_owner_) {
            TRY(check(links_.back(), *link_owner_)); // before anything is made behind it
        }
        std::array<char, PATH_MAX> target{};
        const ssize_t length = ::readlinkat(link.get(), "", target.data(), target.size());
        if (length <= 0 || links_.size() > max_links) {
            return base::fail_errno(Code::store_unusable, length < 0 ? errno : ELOOP,
                                    "cannot follow the way to the store " + base::in_quotes(path_));
        }
        const std::string_view text(target.data(), static_cast<std::size_t>(length));
        TRY(go_to_start(text));
        auto parts = base::components(text);
        ahead_.insert(ahead_.begin(), std::make_move_iterator(parts.begin()),
                      std::make_move_iterator(parts.end()));
        return {};
    }

    const std::string& path_;
    std::optional<uid_t> link_owner_;
    std::optional<mode_t> make_;
    base::UniqueFd here_;
    std::deque<std::string> ahead_;
    std::vector<Link> links_;
};

} // namespace

base::Result<base::UniqueFd> walk_to(const std::string& path, std::optional<uid_t> link_owner,
                                     std::optional<mode_t> make) {
    return Walk(path, link_owner, make).to_end();
}

} // namespace slipway::store
