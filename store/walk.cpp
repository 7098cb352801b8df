// SPDX-License-Identifier: Apache-2.0
#include "store/walk.hpp"

#include "base/errno_code.hpp"
#include "base/format.hpp"
#include "base/path.hpp"
#include "base/path_walk.hpp"
#include "base/text.hpp"

#include <cerrno>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace slipway::store {
namespace {

using base::Code;

class Way : public base::WayRules {
  public:
    Way(const std::string& store, std::optional<uid_t> link_owner, std::optional<mode_t> make)
        : store_(store), link_owner_(link_owner), make_(make) {}

    base::Result<void> check(const struct stat& facts, const std::string& path) override {
        if (!S_ISLNK(facts.st_mode)) {
            return {};
        }
        links_.push_back({std::string(base::base_name(path)), facts.st_uid});
        // Before anything is made behind it.
        return link_owner_ ? check_link(links_.back(), *link_owner_) : base::Result<void>();
    }

    base::Result<bool> make(int directory, const std::string& name, const std::string&,
                            bool last) override {
        if (!make_) {
            return false;
        }
        if (::mkdirat(directory, name.c_str(), *make_) == 0) {
            // The caller's umask does not decide who may read the store itself.
            if (last) {
                (void)!::fchmodat(directory, name.c_str(), *make_, 0);
            }
        } else if (errno != EEXIST) {
            return base::fail_errno(base::code_of_errno(errno, Code::store_unusable), errno,
                                    fmt::format("cannot create directory {} for the store {}",
                                                base::in_quotes(name), base::in_quotes(store_)),
                                    "name a place that you may write to (SLIPWAY_CACHEDIR, "
                                    "store.user_path or store.path)");
        }
        return true;
    }

    /// Where nobody was named, the owner of what the links lead to is who may have made them.
    [[nodiscard]] base::Result<void> check_links(uid_t owner) const {
        for (const auto& link : links_) {
            TRY(check_link(link, link_owner_.value_or(owner)));
        }
        return {};
    }

  private:
    struct Link {
        std::string name;
        uid_t owner;
    };

    [[nodiscard]] base::Result<void> check_link(const Link& link, uid_t owner) const {
        if (link.owner == 0 || link.owner == owner) {
            return {};
        }
        return base::fail(Code::store_unusable,
                          fmt::format("on the way to the store {} the link {} belongs to uid {}",
                                      base::in_quotes(store_), base::in_quotes(link.name),
                                      link.owner),
                          "name a directory that no link of another user leads to");
    }

    const std::string& store_;
    std::optional<uid_t> link_owner_;
    std::optional<mode_t> make_;
    std::vector<Link> links_;
};

base::Unexpected no_way(const std::string& store, int err) {
    const auto name = base::in_quotes(store);
    switch (err) {
    case ENOENT:
        return base::fail_errno(Code::store_unusable, err, fmt::format("the store {} is not there", name),
                                "create it, or name another one (SLIPWAY_CACHEDIR, "
                                "store.user_path or store.path)");
    case ENOTDIR:
        return base::fail(Code::store_unusable, fmt::format("the store {} is not a directory", name),
                          "name a directory, or one that is not there yet");
    case ELOOP:
        return base::fail_errno(Code::store_unusable, err,
                                fmt::format("cannot follow the way to the store {}", name),
                                "name a directory to which no loop of links leads");
    default:
        return base::fail_errno(Code::store_unusable, err,
                                fmt::format("cannot reach the store {}", name),
                                "name a directory that you may enter (SLIPWAY_CACHEDIR, "
                                "store.user_path or store.path)");
    }
}

} // namespace

base::Result<base::UniqueFd> walk_to(const std::string& path, std::optional<uid_t> link_owner,
                                     std::optional<mode_t> make) {
    Way way(path, link_owner, make);
    auto directory = base::walk_path(path, O_PATH | O_DIRECTORY, way);
    struct stat facts {};
    if (!directory) {
        return directory.error().code == Code::io ? no_way(path, directory.error().sys_errno)
                                                  : std::move(directory);
    }
    if (::fstat(directory->get(), &facts) != 0 || !S_ISDIR(facts.st_mode)) {
        return no_way(path, ENOTDIR);
    }
    TRY(way.check_links(facts.st_uid));
    return directory;
}

} // namespace slipway::store
