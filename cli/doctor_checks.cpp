// SPDX-License-Identifier: Apache-2.0
// The checks of `slipway doctor` that look at this machine and its stores.
#include "base/capture.hpp"
#include "base/child.hpp"
#include "base/format.hpp"
#include "base/helper_program.hpp"
#include "base/path.hpp"
#include "base/text.hpp"
#include "cli/doctor.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>

#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

namespace slipway::cli {
namespace {

constexpr unsigned least_major = 5;
constexpr unsigned least_minor = 12; // mount_setattr(2)

std::uint64_t number_in(const std::string& path, std::uint64_t otherwise) {
    const auto text = base::read_file(path, 64);
    return text ? base::parse_u64(std::string_view(*text).substr(0, text->find('\n')))
                      .value_or(otherwise)
                : otherwise;
}

/// unshare(2) in a child, as `slipway exec` does it; its errno.
int try_user_namespace() {
    auto child = base::Child::fork([] { return ::unshare(CLONE_NEWUSER) == 0 ? 0 : errno; });
    if (!child) {
        return child.error().sys_errno;
    }
    const auto status = child->wait();
    return status ? base::exit_code_of(*status) : status.error().sys_errno;
}

} // namespace

Finding check_kernel(const std::string& release) {
    const auto parts = base::split(release, '.');
    const auto major = base::parse_u64(parts[0]).value_or(0);
    const auto text = parts.size() > 1 ? parts[1] : std::string_view();
    const auto minor = base::parse_u64(text.substr(0, text.find_first_not_of("0123456789"))).value_or(0);
    if (major > least_major || (major == least_major && minor >= least_minor)) {
        return {Verdict::pass, "kernel", "Linux " + release, {}};
    }
    return {Verdict::fail, "kernel", fmt::format("Linux {} is too old", release),
            "containers need Linux 5.12 or newer (mount_setattr)"};
}

std::vector<Finding> check_programs() {
    std::vector<Finding> findings;
    for (const std::string_view name : {"slipway-images", "slipway-convert"}) {
        const auto program = base::find_helper_program(name);
        findings.push_back(program ? Finding{Verdict::pass, "programs", *program + " is installed", {}}
                                   : Finding{Verdict::fail, "programs", program.error().message,
                                             "reinstall Slipway: its programs stay together"});
    }
    return findings;
}

Finding check_user_namespaces(const Surroundings& around) {
    const auto limit = number_in(around.root + "/proc/sys/user/max_user_namespaces", 0);
    if (limit == 0) {
        return {Verdict::fail, "user-namespaces", "user.max_user_namespaces is 0",
                "sysctl user.max_user_namespaces=15000"};
    }
    if (const int err = try_user_namespace(); err != 0) {
        return {Verdict::warn, "user-namespaces",
                fmt::format("you cannot make a user namespace ({}): jobs under Slurm work, `slipway "
                            "exec` at the prompt does not",
                            base::errno_text(err)),
                "kernel.unprivileged_userns_clone=1 or kernel.apparmor_restrict_unprivileged_userns=0"};
    }
    return {Verdict::pass, "user-namespaces", fmt::format("allowed, up to {}", limit), {}};
}

Finding check_fuse(const Surroundings& around) {
    const auto path = around.root + "/dev/fuse";
    if (::access(path.c_str(), F_OK) != 0) {
        return {Verdict::fail, "fuse", "/dev/fuse is missing",
                "load the kernel module: modprobe fuse"};
    }
    if (base::open_file(path, O_RDWR)) {
        struct stat st {};
        const bool for_all = ::stat(path.c_str(), &st) == 0 && (st.st_mode & 0006U) == 0006U;
        return for_all ? Finding{Verdict::pass, "fuse", "/dev/fuse can be opened", {}}
                       : Finding{Verdict::warn, "fuse",
                                 "/dev/fuse can be opened by you, but not by everybody: jobs under "
                                 "Slurm work, `slipway exec` of ordinary users does not",
                                 "chmod 0666 /dev/fuse (udev does it by itself)"};
    }
    return {Verdict::warn, "fuse",
            "you cannot open /dev/fuse: jobs under Slurm work, `slipway exec` at the prompt does not",
            "chmod 0666 /dev/fuse (udev does it by itself)"};
}

std::vector<Finding> check_store(const config::Config& config) {
    const auto& path = config.store.path;
    if (path.empty()) {
        return {{Verdict::warn, "store", "no shared store: every user stages for themselves",
                 "set store.path in the site file to a directory on shared storage"}};
    }
    struct stat st {};
    if (::stat(path.c_str(), &st) != 0 || !S_ISDIR(st.st_mode)) {
        return {{Verdict::fail, "store", base::in_quotes(path) + " is no directory",
                 "create it, owned by the service's user, mode 0755"}};
    }
    if ((st.st_mode & 0022U) != 0) {
        return {{Verdict::fail, "store", "others may write to " + base::in_quotes(path),
                 "chmod go-w " + path}};
    }
    std::vector<Finding> findings;
    findings.push_back({Verdict::pass, "store",
                        fmt::format("{} belongs to uid {}", base::in_quotes(path), st.st_uid), {}});
    struct statvfs vfs {};
    if (::statvfs(path.c_str(), &vfs) == 0) {
        const auto free = static_cast<std::uint64_t>(vfs.f_bavail) * vfs.f_frsize;
        constexpr std::uint64_t little = 10ULL << 30U;
        findings.push_back({free < little ? Verdict::warn : Verdict::pass, "store-space",
                            base::size_text(free) + " free",
                            free < little ? "large images will not fit: free space or move the store"
                                          : ""});
    }
    return findings;
}

Finding check_own_store(const std::string& images_program, const std::vector<std::string>& options,
                        const std::vector<std::string>& environment) {
    constexpr std::size_t max_answer = 16U << 20U;
    constexpr int patience_ms = 10000;
    std::vector<std::string> words{"slipway-images", "images"};
    words.insert(words.end(), options.begin(), options.end());
    const auto answer =
        base::capture_output({images_program, std::move(words), environment, {}}, max_answer,
                             base::Deadline(patience_ms), base::ErrorOutput::capture);
    if (!answer) {
        return {Verdict::fail, "own-store", answer.error().message,
                "look at its file system with df and mount"};
    }
    if (answer->status == 0) {
        return {Verdict::pass, "own-store", "your own store can be used", {}};
    }
    constexpr std::string_view label = "slipway: error: ";
    constexpr std::string_view hint = " (hint: ";
    std::string_view text = answer->output;
    text.remove_prefix(std::min(text.find(label), text.size()));
    text = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(label.size(), text.size()));
    const auto at = text.rfind(hint);
    const bool cured = at != std::string_view::npos && text.ends_with(')');
    return {Verdict::fail, "own-store", std::string(text.substr(0, at)),
            cured ? std::string(text.substr(at + hint.size(), text.size() - at - hint.size() - 1))
                  : "slipway images"};
}

} // namespace slipway::cli
