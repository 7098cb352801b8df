// SPDX-License-Identifier: Apache-2.0
// attack NAME ARGUMENT…: tries one thing that a program in a container must not get, and prints
// what came of it: "done" or the kernel's error, such as EPERM. Several attacks are separated by
// ",".
//   write PATH, read PATH        open it so; reading also takes a byte
//   mount PATH, umount PATH, remount PATH      a tmpfs on it; it away; the mount writable again
//   move FROM TO                 a mount to another place
//   mknod PATH                   a node of the kernel's memory device
//   handle PATH                  open what a file handle stands for
//   chroot PATH                  prints the inode number of "/" after climbing out of a second root
//   root, setgroups              become root; give up the supplementary groups
//   hostname, raw                set the host's name (to what it is); a raw socket
//   ptrace PID, memory PID, descriptor PID     of another process
//   enter user|mnt|pid PID       a namespace of another process
//   caps                         prints CapEff
//   nested ATTACK…               the same as root of a user and a mount namespace of its own
//   into user|mnt|pid PID ATTACK…              the same in a namespace of another process
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace {

using Words = std::vector<std::string>;

pid_t pid_of(const std::string& word) {
    return static_cast<pid_t>(std::atoi(word.c_str()));
}

long read_byte(const std::string& path) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    char byte = 0;
    return fd < 0 ? -1 : ::read(fd, &byte, 1);
}

long open_by_handle(const std::string& path) {
    alignas(file_handle) char room[sizeof(file_handle) + MAX_HANDLE_SZ] = {};
    auto* handle = reinterpret_cast<file_handle*>(room);
    handle->handle_bytes = MAX_HANDLE_SZ;
    int mount = 0;
    if (::name_to_handle_at(AT_FDCWD, path.c_str(), handle, &mount, 0) != 0) {
        return -1;
    }
    const int place = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    return ::open_by_handle_at(place, handle, O_RDONLY | O_CLOEXEC);
}

/// The classic way out of chroot(2): a root below an open directory, then up and up.
long climb_out(const std::string& path) {
    const int above = ::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (above < 0 || ::chroot(path.c_str()) != 0 || ::fchdir(above) != 0) {
        return -1;
    }
    for (int i = 0; i < 64; ++i) {
        (void)!::chdir("..");
    }
    struct stat st {};
    if (::chroot(".") != 0 || ::stat("/", &st) != 0) {
        return -1;
    }
    std::printf("%lu ", static_cast<unsigned long>(st.st_ino));
    return 0;
}

long read_memory(pid_t pid) {
    static char there = 'x';
    char here = 0;
    const iovec local{&here, 1};
    const iovec remote{&there,
                       1}; // this program is linked statically: the same place in a second one
    return ::process_vm_readv(pid, &local, 1, &remote, 1, 0);
}

long take_descriptor(pid_t pid) {
    const auto pidfd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
    return pidfd < 0 ? -1 : ::syscall(SYS_pidfd_getfd, pidfd, 0, 0);
}

long enter(const std::string& kind, const std::string& pid) {
    const int fd = ::open(("/proc/" + pid + "/ns/" + kind).c_str(), O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -1 : ::setns(fd, 0);
}

long print_capabilities() {
    std::FILE* status = std::fopen("/proc/self/status", "re");
    if (status == nullptr) {
        return -1;
    }
    char line[256];
    while (std::fgets(line, sizeof line, status) != nullptr) {
        if (std::strncmp(line, "CapEff:\t", 8) == 0) {
            std::printf("%.16s ", line + 8);
        }
    }
    return std::fclose(status);
}

long set_own_hostname() {
    char name[256] = {};
    return ::gethostname(name, sizeof name - 1) != 0 ? -1 : ::sethostname(name, std::strlen(name));
}

bool write_text(const char* path, const std::string& text) {
    const int fd = ::open(path, O_WRONLY | O_CLOEXEC);
    const bool good =
        fd >= 0 && ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
    ::close(fd);
    return good;
}

bool nest() {
    const auto uid = std::to_string(::geteuid());
    const auto gid = std::to_string(::getegid());
    if (::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) {
        return false;
    }
    (void)write_text("/proc/self/setgroups", "deny");
    return write_text("/proc/self/uid_map", "0 " + uid + " 1") &&
           write_text("/proc/self/gid_map", "0 " + gid + " 1");
}

const std::map<std::string, std::function<long(const Words&)>> attacks = {
    {"write", [](const Words& to) { return ::open(to.at(0).c_str(), O_WRONLY | O_CLOEXEC); }},
    {"read", [](const Words& to) { return read_byte(to.at(0)); }},
    {"mount",
     [](const Words& to) { return ::mount("none", to.at(0).c_str(), "tmpfs", 0, nullptr); }},
    {"umount", [](const Words& to) { return ::umount2(to.at(0).c_str(), MNT_DETACH); }},
    {"remount",
     [](const Words& to) {
         return ::mount(nullptr, to.at(0).c_str(), nullptr, MS_REMOUNT | MS_BIND, nullptr);
     }},
    {"move",
     [](const Words& to) {
         return ::mount(to.at(0).c_str(), to.at(1).c_str(), nullptr, MS_MOVE, nullptr);
     }},
    {"mknod",
     [](const Words& to) { return ::mknod(to.at(0).c_str(), S_IFCHR | 0666, makedev(1, 1)); }},
    {"handle", [](const Words& to) { return open_by_handle(to.at(0)); }},
    {"chroot", [](const Words& to) { return climb_out(to.at(0)); }},
    {"root", [](const Words&) { return ::setresuid(0, 0, 0); }},
    {"setgroups", [](const Words&) { return ::setgroups(0, nullptr); }},
    {"hostname", [](const Words&) { return set_own_hostname(); }},
    {"raw", [](const Words&) { return ::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP); }},
    {"ptrace",
     [](const Words& to) { return ::ptrace(PTRACE_SEIZE, pid_of(to.at(0)), nullptr, nullptr); }},
    {"memory", [](const Words& to) { return read_memory(pid_of(to.at(0))); }},
    {"descriptor", [](const Words& to) { return take_descriptor(pid_of(to.at(0))); }},
    {"enter", [](const Words& to) { return enter(to.at(0), to.at(1)); }},
    {"caps", [](const Words&) { return print_capabilities(); }},
};

/// Tries one attack and prints its line.
void attempt(Words words) {
    std::string said;
    if (words.at(0) == "nested") {
        if (!nest()) {
            std::printf("nested %s\n", strerrorname_np(errno));
            return;
        }
        words.erase(words.begin());
        said = "nested ";
    } else if (words.at(0) == "into") {
        if (enter(words.at(1), words.at(2)) != 0) {
            std::printf("into %s\n", strerrorname_np(errno));
            return;
        }
        words.erase(words.begin(), words.begin() + 3);
        said = "into ";
    }
    std::printf("%s%s ", said.c_str(), words.at(0).c_str());
    const auto& attack = attacks.at(words[0]);
    words.erase(words.begin());
    const long got = attack(words);
    std::printf("%s\n", got < 0 ? strerrorname_np(errno) : "done");
}

} // namespace

int main(int argc, char** argv) {
    Words words;
    for (int i = 1; i <= argc; ++i) {
        if (i < argc && std::strcmp(argv[i], ",") != 0) {
            words.emplace_back(argv[i]);
            continue;
        }
        // One process for each: an attack that gives would change what the next one meets.
        std::fflush(stdout);
        const pid_t child = ::fork();
        if (child == 0) {
            attempt(words);
            std::fflush(stdout);
            ::_exit(0);
        }
        int status = 0;
        if (child < 0 || ::waitpid(child, &status, 0) != child || status != 0) {
            return 1;
        }
        words.clear();
    }
    return 0;
}
