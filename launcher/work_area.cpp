// SPDX-License-Identifier: Apache-2.0
#include "launcher/work_area.hpp"

#include "base/fd.hpp"
#include "base/format.hpp"
#include "base/path.hpp"
#include "base/text.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace slipway::launcher {
namespace {

using base::Code;
using base::fail_errno;
using base::in_quotes;
using base::Result;

struct Part {
    const char* name;
    mode_t mode;
};
constexpr std::array contained_parts{Part{"tmp", 01777}, Part{"var_tmp", 01777},
                                     Part{"home", 0700}};

Result<void> make_part(const base::UniqueFd& area, const std::string& part, mode_t mode) {
    const auto failed = [&](int err, const char* hint) {
        return fail_errno(
            Code::mount_source_missing, err,
            fmt::format("cannot have {} in the directory of --workdir", in_quotes(part)), hint);
    };
    TRY_ASSIGN(auto at, base::duplicate(area.get()));
    for (const auto& name : base::components(part)) {
        const bool made = ::mkdirat(at.get(), name.c_str(), mode) == 0;
        if (!made && errno != EEXIST) {
            return failed(errno, "name a directory that you may write to");
        }
        at.reset(::openat(at.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
        struct stat about {};
        // The umask is the caller's and not meant for /tmp, so the mode is set afterwards.
        if (!at || ::fstat(at.get(), &about) != 0 ||
            (made && about.st_uid == ::geteuid() && ::fchmod(at.get(), mode) != 0)) {
            return failed(errno, "what is there must be a directory of your own, and no symlink");
        }
        if (about.st_uid != ::geteuid()) {
            return failed(EPERM, "what is there belongs to somebody else; name another directory");
        }
    }
    return {};
}

} // namespace

std::string work_area_part(const join::Request& request, std::string_view part) {
    if (request.work_area.empty()) {
        return {};
    }
    const auto& area = request.work_area;
    return base::clean_path(
        base::join_path(area.front() == '/' ? area : base::join_path(request.cwd, area), part));
}

Result<void> prepare_work_area(const join::Request& request) {
    const auto area = work_area_part(request, ".");
    if (area.empty()) {
        return {};
    }
    const base::UniqueFd directory(::open(area.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!directory) {
        return fail_errno(Code::mount_source_missing, errno,
                          fmt::format("cannot use {} as --workdir", in_quotes(request.work_area)),
                          "name a directory of the host that exists");
    }
    if (request.containment != join::Containment::none) {
        for (const auto& part : contained_parts) {
            TRY(make_part(directory, part.name, part.mode));
        }
    }
    for (const auto& scratch : request.scratch) {
        TRY(make_part(directory, "scratch" + base::clean_path("/" + scratch), 0700));
    }
    return {};
}

} // namespace slipway::launcher
