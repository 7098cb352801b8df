// SPDX-License-Identifier: Apache-2.0
// step_task OPTIONS IMAGE COMMAND [ARGUMENT]…: plays slurmstepd and its tasks, as root, against the
// real slipway-launch. Prints the exit codes of the tasks, one a line, after "launcher PID".
//   --launcher PATH  --config PATH  --uid U  --gid G  --groups A,B  --tasks N  --bind SPEC
//   --linger SECONDS   keep the step going after the tasks have ended
//   --garbage N        before every later task N packets that are no messages
//   --task-env N=VALUE the environment of the tasks, and of whatever their first one starts
#include "base/child.hpp"
#include "base/text.hpp"
#include "launcher/join/join.hpp"
#include "launcher/join/start.hpp"
#include "tests/privileged/launcher/from_here.hpp"

#include <grp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <map>

using namespace slipway;
using namespace slipway::launcher;
using namespace slipway::launcher::join;

namespace {

struct Setting {
    StartFacts facts;
    Request request;
    int tasks = 1;
    unsigned linger = 0;
    int garbage = 0;
    std::vector<char*> command;
};

[[noreturn]] void give_up(const base::Error& error) {
    std::printf("slipway: error: %s\n", error.one_line().c_str());
    std::fflush(stdout);
    ::_exit(1);
}

void warn(std::string_view line) {
    std::fprintf(stderr, "warning: %.*s\n", static_cast<int>(line.size()), line.data());
}

[[noreturn]] void be_task(const Setting& setting, bool first, int report, pid_t launcher_pid) {
    if (::setgroups(setting.facts.groups.size(), setting.facts.groups.data()) != 0) {
        std::perror("setgroups");
        ::_exit(1);
    }
    auto handles = first ? start_launcher(setting.facts, setting.request, warn,
                                          [&](pid_t pid, std::uint64_t) {
                                              (void)!::write(report, &pid, sizeof pid);
                                          })
                         : ask_to_join(setting.facts.task_socket, launcher_pid, 10'000);
    if (!handles) {
        give_up(handles.error());
    }
    if (::setresgid(setting.facts.gid, setting.facts.gid, setting.facts.gid) != 0 ||
        ::setresuid(setting.facts.uid, setting.facts.uid, setting.facts.uid) != 0) {
        std::perror("becoming the user");
        ::_exit(1);
    }
    const auto entered = enter(*handles, warn);
    if (!entered) {
        give_up(entered.error());
    }
    for (const auto& change : handles->record.environment) {
        if (change.value) {
            ::setenv(change.name.c_str(), change.value->c_str(), 1);
        } else {
            ::unsetenv(change.name.c_str());
        }
    }
    ::execvp(setting.command[0], setting.command.data());
    std::perror(setting.command[0]);
    ::_exit(127);
}

/// Too short, of another protocol, too long, with descriptors: nothing that a task of ours sends.
void send_garbage(const Setting& setting) {
    const std::string kinds[] = {"x", std::string(16, '\xFF'),
                                 std::string(2 * max_message_bytes, 'y'),
                                 std::string("SPWY\1\0\xFF\xFF", 8)};
    const int fds[] = {0, 1, 2};
    for (int i = 0; i < setting.garbage; ++i) {
        const auto& text = kinds[static_cast<std::size_t>(i) % std::size(kinds)];
        (void)base::send_packet(setting.facts.task_socket, text,
                                i % 3 == 0 ? std::span<const int>(fds) : std::span<const int>())
            .has_value();
    }
    ::usleep(200'000); // the launcher has read them all before anybody joins
}

bool read_option(Setting& setting, const std::string& name, const std::string& value) {
    if (name == "--launcher") {
        setting.facts.launcher_path = value;
    } else if (name == "--config") {
        setting.facts.config_path = value;
    } else if (name == "--uid") {
        setting.facts.uid = static_cast<uid_t>(std::stoul(value));
    } else if (name == "--gid") {
        setting.facts.gid = static_cast<gid_t>(std::stoul(value));
    } else if (name == "--groups") {
        for (const auto part : base::split(value, ',')) {
            setting.facts.groups.push_back(static_cast<gid_t>(std::stoul(std::string(part))));
        }
    } else if (name == "--tasks") {
        setting.tasks = std::stoi(value);
    } else if (name == "--linger") {
        setting.linger = static_cast<unsigned>(std::stoul(value));
    } else if (name == "--garbage") {
        setting.garbage = std::stoi(value);
    } else if (name == "--bind") {
        setting.request.mounts.push_back({MountSyntax::pyxis, value});
    } else if (name == "--task-env") {
        const auto equals = value.find('=');
        ::setenv(value.substr(0, equals).c_str(), value.substr(equals + 1).c_str(), 1);
    } else if (name == "--workdir") {
        setting.request.workdir = value;
    } else {
        return false;
    }
    return true;
}

} // namespace

int main(int argc, char** argv) {
    Setting setting;
    int at = 1;
    for (; at + 1 < argc && argv[at][0] == '-'; at += 2) {
        if (!read_option(setting, argv[at], argv[at + 1])) {
            std::fprintf(stderr, "unknown option %s\n", argv[at]);
            return 2;
        }
    }
    if (at + 1 >= argc) {
        return 2;
    }
    test::ask_from_here(setting.request, argv[at]);
    setting.command.assign(argv + at + 1, argv + argc);
    setting.command.push_back(nullptr);

    auto pair = base::packet_pair();
    auto self = base::open_pidfd(::getpid());
    const int one = 1;
    int report[2] = {-1, -1};
    if (!pair || !self || ::pipe(report) != 0 ||
        ::setsockopt(pair->first.get(), SOL_SOCKET, SO_PASSCRED, &one, sizeof one) != 0) {
        std::perror("setting up");
        return 2;
    }
    setting.facts.task_socket = pair->first.get();
    setting.facts.launcher_socket = pair->second.get();
    setting.facts.stepd_pidfd = self->get();
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    pid_t launcher_pid = -1;
    int worst = 0;
    for (int task = 0; task < setting.tasks; ++task) {
        if (task > 0 && setting.garbage > 0) {
            send_garbage(setting);
        }
        const pid_t pid = ::fork();
        if (pid == 0) {
            be_task(setting, task == 0, report[1], launcher_pid);
        }
        if (task == 0 &&
            ::read(report[0], &launcher_pid, sizeof launcher_pid) == sizeof launcher_pid) {
            std::printf("launcher %d\n", static_cast<int>(launcher_pid));
            std::fflush(stdout);
        }
        int status = 0;
        while (::waitpid(pid, &status, 0) < 0) {
        }
        const int code = base::exit_code_of(status);
        std::printf("task %d exit %d\n", task, code);
        std::fflush(stdout);
        worst = std::max(worst, code);
    }
    ::sleep(setting.linger);
    return worst;
}
