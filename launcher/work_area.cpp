// SPDX-License-Identifier: Apache-2.0
#include "launcher/work_area.hpp"

#include "base/format.hpp"
#include "base/path.hpp"
#include "base/text.hpp"

#include <sys/stat.h>

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

Result<void> make_part(const std::string& path, mode_t mode) {
    // The umask is the caller's and not meant for /tmp, so the mode is set afterwards.
    if (::mkdir(path.c_str(), mode) == 0) {
        if (::chmod(path.c_str(), mode) == 0) {
            return {};
        }
    } else if (errno == EEXIST) {
        return {};
    }
    return fail_errno(Code::mount_source_missing, errno,
                      fmt::format("cannot make {} in the directory of --workdir", in_quotes(path)),
                      "name a directory that you may write to");
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
    struct stat st {};
    const int err = ::stat(area.c_str(), &st) != 0 ? errno : S_ISDIR(st.st_mode) ? 0 : ENOTDIR;
    if (err != 0) {
        return fail_errno(Code::mount_source_missing, err,
                          fmt::format("cannot use {} as --workdir", in_quotes(request.work_area)),
                          "name a directory of the host that exists");
    }
    if (request.containment != join::Containment::none) {
        for (const auto& part : contained_parts) {
            TRY(make_part(work_area_part(request, part.name), part.mode));
        }
    }
    for (const auto& directory : request.scratch) {
        const auto path = base::join_path(work_area_part(request, "scratch"),
                                          base::clean_path("/" + directory).substr(1));
        TRY(base::make_directories(path, 0700));
    }
    return {};
}

} // namespace slipway::launcher
