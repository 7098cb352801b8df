// SPDX-License-Identifier: Apache-2.0
// squashfs_mount [options] IMAGE MOUNTPOINT -- COMMAND…
// Serves an image the way the product does and runs a command that sees it: an ordinary user in a
// user namespace of their own, the server forked before the mount namespace is made, the device
// opened inside the user namespace (by root where its mode demands that). Run as root.
//   --uid N, --gid N  who that user is (default 1234)
//   --threads N
//   --no-rights       run the command without capabilities in its namespace
//   --first-byte      print the microseconds from forking the server to the first answer
// The command gets SQUASHFS_SERVER_PID. Exit code: the command's; 99 when something else failed or
// the server did not end with code 0 by itself after the command (128+9 is accepted: the command
// killed it).
#include "base/child.hpp"
#include "base/fd.hpp"
#include "base/format.hpp"
#include "launcher/image_server/report.hpp"
#include "launcher/image_server/server.hpp"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using namespace slipway;

struct Arguments {
    uid_t uid = 1234;
    gid_t gid = 1234;
    unsigned threads = 0;
    bool rights = true;
    bool first_byte = false;
    const char* image = nullptr;
    const char* mountpoint = nullptr;
    char** command = nullptr;
};

constexpr int tool_failed = 99;

[[noreturn]] void die(const std::string& what) {
    std::fprintf(stderr, "squashfs_mount: %s: %s\n", what.c_str(), std::strerror(errno));
    _exit(tool_failed);
}

void need(bool good, const char* what) {
    if (!good) {
        die(what);
    }
}

void write_file(const char* path, const std::string& text) {
    const int fd = open(path, O_WRONLY | O_CLOEXEC);
    need(fd >= 0 && write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()), path);
    close(fd);
}

Arguments parse(char** argv) {
    Arguments out;
    for (++argv; *argv != nullptr && std::strncmp(*argv, "--", 2) == 0; ++argv) {
        const std::string option = *argv;
        if (option == "--no-rights") {
            out.rights = false;
        } else if (option == "--first-byte") {
            out.first_byte = true;
        } else {
            ++argv;
            need(*argv != nullptr, "an option lacks its value");
            const auto value = std::strtoull(*argv, nullptr, 10);
            if (option == "--uid") {
                out.uid = static_cast<uid_t>(value);
            } else if (option == "--gid") {
                out.gid = static_cast<gid_t>(value);
            } else if (option == "--threads") {
                out.threads = static_cast<unsigned>(value);
            } else {
                errno = EINVAL;
                die(option);
            }
        }
    }
    errno = EINVAL;
    need(argv[0] != nullptr && argv[1] != nullptr && argv[2] != nullptr && argv[3] != nullptr,
         "usage: squashfs_mount [options] IMAGE MOUNTPOINT -- COMMAND");
    out.image = argv[0];
    out.mountpoint = argv[1];
    out.command = argv + 3;
    return out;
}

/// Joins the user namespace of `pid` and opens the device there, still as the host's root.
int open_fuse_in(pid_t pid, int socket) {
    const int space = open(fmt::format("/proc/{}/ns/user", pid).c_str(), O_RDONLY | O_CLOEXEC);
    need(space >= 0 && setns(space, CLONE_NEWUSER) == 0, "setns");
    const int fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    need(fuse >= 0, "/dev/fuse");
    const int fds[] = {fuse};
    return base::send_packet(socket, "fuse", fds) ? 0 : 1;
}

void become(const Arguments& arguments) {
    need(setgroups(0, nullptr) == 0 && setresgid(arguments.gid, arguments.gid, arguments.gid) == 0 &&
             setresuid(arguments.uid, arguments.uid, arguments.uid) == 0,
         "setresuid");
    need(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0, "dumpable");
    need(unshare(CLONE_NEWUSER) == 0, "unshare user");
    write_file("/proc/self/setgroups", "deny");
    write_file("/proc/self/uid_map", fmt::format("{0} {0} 1", arguments.uid));
    write_file("/proc/self/gid_map", fmt::format("{0} {0} 1", arguments.gid));
}

void mount_fuse(const Arguments& arguments, int fuse) {
    need(unshare(CLONE_NEWNS) == 0, "unshare mount");
    need(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0, "private mounts");
    const int fs = static_cast<int>(syscall(SYS_fsopen, "fuse", FSOPEN_CLOEXEC));
    need(fs >= 0, "fsopen");
    const auto set = [&](const char* key, const std::string& value) {
        need(syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, key, value.c_str(), 0) == 0, key);
    };
    set("fd", std::to_string(fuse));
    set("rootmode", "40000");
    set("user_id", std::to_string(arguments.uid));
    set("group_id", std::to_string(arguments.gid));
    need(syscall(SYS_fsconfig, fs, FSCONFIG_SET_FLAG, "default_permissions", nullptr, 0) == 0, "flag");
    need(syscall(SYS_fsconfig, fs, FSCONFIG_SET_FLAG, "ro", nullptr, 0) == 0, "ro");
    need(syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) == 0, "create");
    const int tree = static_cast<int>(syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC,
                                              MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV));
    need(tree >= 0, "fsmount");
    need(syscall(SYS_move_mount, tree, "", AT_FDCWD, arguments.mountpoint,
                 MOVE_MOUNT_F_EMPTY_PATH) == 0,
         "move_mount");
}

/// Capabilities of the namespace survive exec only as ambient ones.
void keep_rights() {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];
    need(syscall(SYS_capget, &header, sets) == 0, "capget");
    for (auto& set : sets) {
        set.inheritable = set.permitted;
    }
    need(syscall(SYS_capset, &header, sets) == 0, "capset");
    for (unsigned long number = 0; number <= CAP_LAST_CAP; ++number) {
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number, 0, 0);
    }
}

double microseconds_since(const timespec& start) {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<double>(now.tv_sec - start.tv_sec) * 1e6 +
           static_cast<double>(now.tv_nsec - start.tv_nsec) / 1e3;
}

/// The user's side: returns the exit code of the command.
int user_side(const Arguments& arguments, int socket) {
    base::UniqueFd image(open(arguments.image, O_RDONLY | O_CLOEXEC));
    need(static_cast<bool>(image), arguments.image);
    become(arguments);
    need(base::send_packet(socket, "unshared").has_value(), "send");
    auto packet = base::recv_packet(socket, 64, 10000);
    need(packet && packet->fds.size() == 1, "no device came");

    timespec start{};
    clock_gettime(CLOCK_MONOTONIC, &start);
    struct stat facts {};
    need(fstat(image.get(), &facts) == 0, arguments.image);
    auto control = base::packet_pair();
    need(control.has_value(), "socketpair");
    const pid_t server = fork();
    need(server >= 0, "fork");
    if (server == 0) {
        launcher::image_server::ServerOptions options;
        options.fuse_fd = packet->fds[0].get();
        options.threads = arguments.threads;
        options.report_uid = arguments.uid;
        options.report_gid = arguments.gid;
        options.control_fd = control->second.get();
        launcher::image_server::serve(
            {image.get(), static_cast<std::uint64_t>(facts.st_size), arguments.image}, options);
    }
    control->second.reset();
    mount_fuse(arguments, packet->fds[0].get());
    const auto report = base::recv_packet(control->first.get(), 4096, 10000);
    need(report.has_value(), "no report");
    const auto found = launcher::image_server::decode_report(report->body);
    if (!found) {
        std::fprintf(stderr, "slipway: error: %s\n", found.error().one_line().c_str());
        return tool_failed;
    }
    need(base::send_packet(control->first.get(), "g").has_value(), "start");
    packet->fds.clear();
    if (arguments.first_byte) {
        need(stat(arguments.mountpoint, &facts) == 0, arguments.mountpoint);
        std::printf("first answer after %.0f us\n", microseconds_since(start));
        std::fflush(stdout);
    }
    need(base::send_packet(socket, std::to_string(server)).has_value(), "send");
    setenv("SQUASHFS_SERVER_PID", std::to_string(server).c_str(), 1);
    const pid_t command = fork();
    need(command >= 0, "fork");
    if (command == 0) {
        if (arguments.rights) {
            keep_rights();
        } else {
            prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        }
        execvp(arguments.command[0], arguments.command);
        die(arguments.command[0]);
    }
    int status = 0;
    while (waitpid(command, &status, 0) < 0 && errno == EINTR) {
    }
    return base::exit_code_of(status);
}

/// After the user's processes are gone the mount namespace is too, and the server must end.
bool server_ended(pid_t server) {
    for (int tenth = 0; tenth < 100; ++tenth) {
        int status = 0;
        if (waitpid(server, &status, WNOHANG) == server) {
            const int code = base::exit_code_of(status);
            if (code != 0 && code != 128 + SIGKILL) {
                std::fprintf(stderr, "squashfs_mount: the server ended with %d\n", code);
            }
            return code == 0 || code == 128 + SIGKILL;
        }
        usleep(50000);
    }
    std::fprintf(stderr, "squashfs_mount: the server did not end\n");
    kill(server, SIGKILL);
    return false;
}

} // namespace

int main(int, char** argv) {
    const Arguments arguments = parse(argv);
    need(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0, "subreaper");
    auto pair = base::packet_pair();
    need(pair.has_value(), "socketpair");
    auto user = base::Child::fork([&] { return user_side(arguments, pair->second.get()); });
    need(user.has_value(), "fork");
    pair->second.reset();
    const auto ready = base::recv_packet(pair->first.get(), 64, 10000);
    if (!ready || ready->body != "unshared") {
        std::fprintf(stderr, "squashfs_mount: no user namespace\n");
        return tool_failed;
    }
    auto opener = base::Child::fork([&] { return open_fuse_in(user->pid(), pair->first.get()); });
    // The child holds its own end; what it sends arrives at the user's side through the pair.
    need(opener && opener->wait().has_value(), "open the device");
    const auto started = base::recv_packet(pair->first.get(), 64, 20000);
    auto status = user->wait();
    need(status.has_value(), "wait");
    if (!started || started->end_of_stream) {
        return tool_failed;
    }
    const int code = base::exit_code_of(*status);
    return server_ended(static_cast<pid_t>(std::stol(started->body))) ? code : tool_failed;
}
