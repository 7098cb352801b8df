// SPDX-License-Identifier: Apache-2.0
#include "base/trusted_path.hpp"

#include "base/format.hpp"
#include "base/path_walk.hpp"
#include "base/text.hpp"

#include <sys/stat.h>

namespace slipway::base {
namespace {

class Trust : public WayRules {
  public:
    Trust(uid_t owner, Code insecure) : owner_(owner), insecure_(insecure) {}

    Result<void> check(const struct stat& facts, const std::string& name) override {
        if (facts.st_uid != 0 && facts.st_uid != owner_) {
            const auto who = owner_ == 0 ? std::string("root")
                                         : fmt::format("root or user {}", owner_);
            return fail(insecure_,
                        fmt::format("{} belongs to user {}, not to {}", in_quotes(name),
                                    facts.st_uid, who),
                        fmt::format("chown {} {}", owner_, name));
        }
        // The mode of a symlink means nothing.
        const bool sticky = S_ISDIR(facts.st_mode) && (facts.st_mode & S_ISVTX) != 0;
        if (!S_ISLNK(facts.st_mode) && !sticky && (facts.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
            return fail(insecure_,
                        fmt::format("{} is writable for group or others (mode {:04o})",
                                    in_quotes(name), facts.st_mode & 07777U),
                        fmt::format("chmod go-w {}", name));
        }
        return {};
    }

  private:
    uid_t owner_;
    Code insecure_;
};

} // namespace

Result<UniqueFd> open_trusted(const std::string& path, int flags, uid_t owner, Code insecure) {
    if (!path.starts_with('/')) {
        return fail(insecure, in_quotes(path) + " is not an absolute path");
    }
    Trust rules(owner, insecure);
    return walk_path(path, flags, rules);
}

} // namespace slipway::base
