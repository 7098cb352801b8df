// SPDX-License-Identifier: Apache-2.0
#include "launcher/join/join.hpp"

#include "base/capabilities.hpp"
#include "base/format.hpp"
#include "base/text.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace slipway::launcher::join {
namespace {

using base::Code;
using base::Result;

constexpr std::size_t max_record_bytes = max_request_bytes;

/// The record comes from a process of the user. A file that can still change or shrink, or that is
/// no file at all, could make root wait or read twice different things.
Result<std::string> read_record(int fd) {
    constexpr int needed = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW;
    struct stat about {};
    const int seals = ::fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & needed) != needed || ::fstat(fd, &about) != 0) {
        return base::fail(Code::launcher_failed, "the launcher's answer is not a sealed file",
                          "install plugin and launcher from the same release");
    }
    if (about.st_size < 0 || static_cast<std::size_t>(about.st_size) > max_record_bytes) {
        return base::fail(Code::limit_exceeded, "the container's environment is too long",
                          "make the job's or the image's environment smaller");
    }
    std::string bytes(static_cast<std::size_t>(about.st_size), '\0');
    TRY(base::read_exact_at(fd, {reinterpret_cast<std::uint8_t*>(bytes.data()), bytes.size()}, 0));
    return bytes;
}

Result<void> change_directory(const JoinRecord& record,
                              const std::function<void(std::string_view)>& warn) {
    if (::chdir(record.cwd.c_str()) == 0) {
        return {};
    }
    const int err = errno;
    const auto what = fmt::format("cannot enter the working directory {} in the container",
                                  base::in_quotes(record.cwd));
    if (record.cwd_was_asked_for) {
        return base::fail_errno(Code::workdir_missing, err, what,
                                "name a directory of the image, or mount one there");
    }
    if (::chdir("/") != 0) {
        return base::fail_errno(Code::workdir_missing, errno, "cannot enter '/' in the container");
    }
    warn(what + ": " + base::errno_text(err) + "; starting in '/' instead");
    return {};
}

} // namespace

Result<JoinHandles> take_handles(Message&& ready) {
    TRY_ASSIGN(const auto body, decode_ready(ready.body));
    if (ready.type != MessageType::ready || ready.fds.size() != body.namespaces.size() + 1) {
        return base::fail(Code::launcher_failed, "the launcher's answer is incomplete",
                          "install plugin and launcher from the same release");
    }
    JoinHandles handles;
    TRY_ASSIGN(const auto bytes, read_record(ready.fds.back().get()));
    TRY_ASSIGN(handles.record, decode_join_record(bytes));
    for (std::size_t i = 0; i < body.namespaces.size(); ++i) {
        handles.namespaces.emplace_back(body.namespaces[i], std::move(ready.fds[i]));
    }
    return handles;
}

Result<void> enter(const JoinHandles& handles, const std::function<void(std::string_view)>& warn) {
    for (const auto& [kind, fd] : handles.namespaces) {
        // The kind makes the kernel refuse a descriptor that is another namespace, or none.
        if (::setns(fd.get(), static_cast<int>(kind)) != 0) {
            return base::fail_errno(Code::launcher_lost, errno, "cannot enter the container",
                                    "try again; the container's launcher may have been killed");
        }
    }
    TRY(change_directory(handles.record, warn));
    return drop_privileges_for_good();
}

Result<void> drop_privileges_for_good() {
    // Bounding set: a set-uid-root or capability-carrying file of an image must find nothing to
    // regain, even if no_new_privs were not there.
    base::drop_bounding_set();
    TRY(base::drop_all_capabilities());
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1) {
        return base::fail_errno(Code::system, errno, "cannot set no_new_privs");
    }
    return {};
}

} // namespace slipway::launcher::join
