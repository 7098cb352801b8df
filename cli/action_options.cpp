// SPDX-License-Identifier: Apache-2.0
// Options of run, exec and shell. Names, letters and environment variables are those of Singularity
// and Apptainer, so that commands from their documentation work.
#include "cli/verbs.hpp"

#include <array>

namespace slipway::cli {
namespace {

using enum OptionKind;

constexpr std::array mount_options{
    Option{.name = "bind", .letter = 'B', .kind = texts, .value = "SRC[:DST[:OPTIONS]],…",
           .doc = "Show a file or directory of the host in the container, at DST or at the same "
                  "place. OPTIONS are ro and rw. May be given more than once.",
           .environment = "BIND BINDPATH", .files = "file"},
    Option{.name = "mount", .kind = texts, .value = "type=bind,source=SRC,destination=DST[,ro]",
           .doc = "The same in another spelling, for paths with commas and colons (put them in "
                  "double quotes). May be given more than once.",
           .environment = "MOUNT"},
    Option{.name = "home", .letter = 'H', .kind = text, .value = "SRC[:DST]",
           .doc = "Use the host directory SRC as home directory, at DST or at the same place.",
           .environment = "HOME", .files = "dir"},
    Option{.name = "no-home", .doc = "Leave the home directory out.", .environment = "NO_HOME"},
    Option{.name = "no-mount", .kind = list, .value = "NAME,…",
           .doc = "Leave out a mount that the container would have: proc, sys, dev, devpts, home, "
                  "tmp, cwd, bind-paths (those of the site), or the absolute path of a site bind.",
           .environment = "NO_MOUNT"},
    Option{.name = "scratch", .letter = 'S', .kind = list, .value = "DIR,…",
           .doc = "A fresh empty directory in memory at DIR, or below that of --workdir.",
           .environment = "SCRATCH SCRATCHDIR"},
    Option{.name = "workdir", .letter = 'W', .kind = text, .value = "DIR",
           .doc = "Keep what --contain and --scratch would have in memory in this directory of the "
                  "host: DIR/tmp, DIR/var_tmp, DIR/home and DIR/scratch.",
           .environment = "WORKDIR", .files = "dir"},
    Option{.name = "cwd", .kind = text, .value = "DIR",
           .doc = "Start in this directory of the container. Without it the command starts in the "
                  "current directory if the container shows it, else in the home directory, else "
                  "in /.",
           .environment = "CWD PWD TARGET_PWD", .alias = "pwd"},
    Option{.name = "writable-tmpfs",
           .doc = "Let the whole file system of the container appear writable. Changes are kept in "
                  "memory and vanish with the container.",
           .environment = "WRITABLE_TMPFS"},
};

constexpr std::array isolation_options{
    Option{.name = "contain", .letter = 'c',
           .doc = "Show only those directories of the host that you ask for: empty /tmp and home, a "
                  "minimal /dev.",
           .environment = "CONTAIN"},
    Option{.name = "containall", .letter = 'C',
           .doc = "Like --contain --pid --ipc --cleanenv.", .environment = "CONTAINALL"},
    Option{.name = "compat",
           .doc = "As Docker does it: --containall --no-init --no-umask --no-eval --writable-tmpfs.",
           .environment = "COMPAT"},
    Option{.name = "pid", .letter = 'p',
           .doc = "Show only the container's own processes. They all end with the command.",
           .environment = "PID UNSHARE_PID"},
    Option{.name = "no-pid",
           .doc = "Keep the host's process namespace, whatever --containall or --compat say.",
           .environment = "NO_PID"},
    Option{.name = "no-init",
           .doc = "With --pid: the command is process 1 itself. Without it a small init is, which "
                  "reaps what the command leaves behind and passes signals on to it.",
           .environment = "NOSHIMINIT NO_INIT"},
    Option{.name = "ipc", .letter = 'i',
           .doc = "Semaphores, message queues and shared memory (System V) of the container's own.",
           .environment = "IPC UNSHARE_IPC"},
    Option{.name = "uts", .doc = "A hostname of the container's own.",
           .environment = "UTS UNSHARE_UTS"},
    Option{.name = "hostname", .kind = text, .value = "NAME",
           .doc = "The container's hostname. Implies --uts.", .environment = "HOSTNAME"},
    Option{.name = "net", .letter = 'n',
           .doc = "A network of the container's own. Only root could connect it to another one, so "
                  "it takes --network none.",
           .environment = "NET UNSHARE_NET"},
    Option{.name = "network", .kind = text, .value = "none",
           .doc = "none: no network but a loopback device. Implies --net.",
           .environment = "NETWORK"},
    Option{.name = "dns", .kind = list, .value = "ADDRESS,…",
           .doc = "Name servers for the container's /etc/resolv.conf, in place of the node's.",
           .environment = "DNS"},
    Option{.name = "userns", .letter = 'u',
           .doc = "Use a user namespace. Slipway always does; the option is accepted for compatibility.",
           .environment = "USERNS UNSHARE_USERNS"},
    Option{.name = "no-privs",
           .doc = "Drop all capabilities. Slipway always does; the option is accepted for compatibility.",
           .environment = "NO_PRIVS"},
};

constexpr std::array environment_options{
    Option{.name = "env", .kind = texts, .value = "NAME=VALUE[,NAME=VALUE…]",
           .doc = "Set variables in the container. An argument with a single = is taken whole, "
                  "commas included. May be given more than once."},
    Option{.name = "env-file", .kind = list, .value = "FILE,…",
           .doc = "Set the variables that this shell script sets. It is run on the host by /bin/sh.",
           .environment = "ENV_FILE", .files = "file"},
    Option{.name = "cleanenv", .letter = 'e',
           .doc = "Keep the host's variables out, except TERM and the proxy settings.",
           .environment = "CLEANENV"},
    Option{.name = "no-eval",
           .doc = "Take arguments and values of variables literally. Without it the shell code in "
                  "a native image evaluates $NAME and $(command) in them once more.",
           .environment = "NO_EVAL"},
    Option{.name = "no-umask",
           .doc = "Start with umask 0022 instead of the caller's.", .environment = "NO_UMASK"},
};

constexpr std::array output_options{
    Option{.name = "dry-run", .doc = "Print what would be mounted and run, and start nothing."},
    Option{.name = "json", .doc = "With --dry-run: print it as JSON."},
};

constexpr std::array shell_only_options{
    Option{.name = "shell", .letter = 's', .kind = text, .value = "PATH",
           .doc = "The shell to run, as a path in the container.", .environment = "SHELL"},
};

constexpr OptionGroup mounts{"Files and directories", mount_options};
constexpr OptionGroup isolation{"Isolation", isolation_options};
constexpr OptionGroup variables{"Environment and arguments", environment_options};
constexpr OptionGroup output{"Output", output_options};
constexpr OptionGroup shell_choice{"Shell", shell_only_options};

} // namespace

std::span<const OptionGroup> exec_options() {
    static const std::array groups{mounts, isolation,       variables,
                                   fetch_options(), output, refused_options()};
    return groups;
}

std::span<const OptionGroup> run_options() {
    return exec_options();
}

std::span<const OptionGroup> shell_options() {
    static const std::array groups{shell_choice,    mounts, isolation,        variables,
                                   fetch_options(), output, refused_options()};
    return groups;
}

} // namespace slipway::cli
