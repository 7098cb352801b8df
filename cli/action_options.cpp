// SPDX-License-Identifier: Apache-2.0
// Options of run, exec and shell. Names, letters and environment variables are those of Singularity
// and Apptainer, so that commands from their documentation work.
#include "base/format.hpp"
#include "base/text.hpp"
#include "base/words.hpp"
#include "cli/env_file.hpp"
#include "cli/verbs.hpp"
#include "launcher/join/mount_spec.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <array>

namespace slipway::cli {
namespace {

using enum OptionKind;
using base::Code;
using base::fail;
using base::in_quotes;
using base::Result;
using launcher::join::MountSyntax;

// Without a directory: what a relative source is taken against decides no syntax.
Result<void> check_bind(std::string_view value) {
    TRY(launcher::join::parse_mounts({MountSyntax::bind, std::string(value)}, {}));
    return {};
}

Result<void> check_mount(std::string_view value) {
    TRY(launcher::join::parse_mounts({MountSyntax::mount_csv, std::string(value)}, {}));
    return {};
}

Result<void> check_home(std::string_view value) {
    if (std::count(value.begin(), value.end(), ':') > 1) {
        return fail(Code::option_invalid, in_quotes(value) + " is not SRC or SRC:DST",
                    "for other characters in paths use --mount");
    }
    return {};
}

Result<void> absolute(std::string_view value, const char* hint) {
    return value.starts_with('/')
               ? Result<void>()
               : fail(Code::option_invalid, in_quotes(value) + " is not an absolute path", hint);
}

Result<void> check_directory(std::string_view value) {
    return absolute(value, "name a directory of the container, beginning with /");
}

Result<void> check_shell(std::string_view value) {
    return absolute(value, "name a program of the container, for example /bin/zsh");
}

Result<void> check_no_mount(std::string_view value) {
    static constexpr std::string_view known[] = {"proc", "sys", "dev",        "devpts", "home",
                                                 "tmp",  "cwd", "bind-paths", "hostfs"};
    if (value.starts_with('/') ||
        std::find(std::begin(known), std::end(known), value) != std::end(known)) {
        return {};
    }
    const auto near = base::did_you_mean(value, known);
    return fail(Code::option_invalid, in_quotes(value) + " is no mount that could be left out",
                near.empty() ? "known are proc, sys, dev, devpts, home, tmp, cwd, bind-paths and "
                               "absolute paths"
                             : fmt::format("did you mean {}?", near));
}

/// As hostname(7) has it, and short enough for the kernel.
Result<void> check_hostname(std::string_view name) {
    constexpr std::size_t longest = 64;
    const bool good =
        name.size() <= longest && name.front() != '-' && name.front() != '.' &&
        std::all_of(name.begin(), name.end(), [](char c) {
            return base::is_alphanumeric(c) || c == '-' || c == '.';
        });
    return good ? Result<void>()
                : fail(Code::option_invalid, in_quotes(name) + " is no hostname",
                       "letters, digits, '-' and '.', at most 64 of them");
}

Result<void> check_address(std::string_view value) {
    const std::string text(value);
    in6_addr address{};
    const bool good = ::inet_pton(AF_INET, text.c_str(), &address) == 1 ||
                      ::inet_pton(AF_INET6, text.c_str(), &address) == 1;
    return good ? Result<void>()
                : fail(Code::option_invalid, in_quotes(text) + " is no address",
                       "name servers are given as IPv4 or IPv6 addresses");
}

Result<void> check_env(std::string_view value) {
    TRY(parse_env_argument(value));
    return {};
}

constexpr std::array mount_options{
    Option{.name = "bind", .letter = 'B', .kind = texts, .value = "SRC[:DST[:OPTIONS]],…",
           .doc = "Show a file or directory of the host in the container, at DST or at the same "
                  "place. OPTIONS are ro and rw. May be given more than once.",
           .environment = "BIND BINDPATH", .files = "file", .check = check_bind},
    Option{.name = "mount", .kind = texts, .value = "type=bind,source=SRC,destination=DST[,ro]",
           .doc = "The same in another spelling, for paths with commas and colons (put them in "
                  "double quotes). May be given more than once.",
           .environment = "MOUNT", .check = check_mount},
    Option{.name = "home", .letter = 'H', .kind = text, .value = "SRC[:DST]",
           .doc = "Use the host directory SRC as home directory, at DST or at the same place.",
           .environment = "HOME", .files = "dir", .check = check_home},
    Option{.name = "no-home", .doc = "Leave the home directory out.", .environment = "NO_HOME"},
    Option{.name = "no-mount", .kind = list, .value = "NAME,…",
           .doc = "Leave out a mount that the container would have: proc, sys, dev, devpts, home, "
                  "tmp, cwd, bind-paths (those of the site), or the absolute path of a site bind.",
           .environment = "NO_MOUNT", .check = check_no_mount},
    Option{.name = "scratch", .letter = 'S', .kind = list, .value = "DIR,…",
           .doc = "A fresh empty directory in memory at DIR, or below that of --workdir.",
           .environment = "SCRATCH SCRATCHDIR", .check = check_directory},
    Option{.name = "workdir", .letter = 'W', .kind = text, .value = "DIR",
           .doc = "Keep what --contain and --scratch would have in memory in this directory of the "
                  "host: DIR/tmp, DIR/var_tmp, DIR/home and DIR/scratch.",
           .environment = "WORKDIR", .files = "dir"},
    Option{.name = "cwd", .kind = text, .value = "DIR",
           .doc = "Start in this directory of the container. Without it the command starts in the "
                  "current directory if the container shows it, else in the home directory, else "
                  "in /.",
           .environment = "CWD PWD TARGET_PWD", .alias = "pwd", .check = check_directory},
    Option{.name = "writable-tmpfs",
           .doc = "Let the whole file system of the container appear writable. Changes are kept in "
                  "memory and vanish with the container.",
           .environment = "WRITABLE_TMPFS"},
    Option{.name = "overlay", .letter = 'o', .kind = list, .value = "PATH[:ro],…",
           .doc = "Lay a file system over the image's. A directory keeps what the container changes, "
                  "in PATH/upper (PATH/work belongs to it; both are made); with :ro it only shows "
                  "what is there. SquashFS and SIF files are read-only. May be given more than once: "
                  "the first lies on top, one of them may be writable.",
           .environment = "OVERLAY OVERLAYIMAGE", .files = "file"},
    Option{.name = "writable", .letter = 'w',
           .doc = "Write into the image itself, which must be a directory. Mount points that it "
                  "lacks are made in it if it is yours.",
           .environment = "WRITABLE"},
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
    Option{.name = "fakeroot", .letter = 'f',
           .doc = "Be root in the container, with /root as home directory, and nobody more than before "
                  "outside. Other users come from /etc/subuid and /etc/subgid; without lines for the "
                  "caller there is root alone, and calls that need others (chown) do nothing.",
           .environment = "FAKEROOT"},
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
           .doc = "The container's hostname. Implies --uts.", .environment = "HOSTNAME",
           .check = check_hostname},
    Option{.name = "net", .letter = 'n',
           .doc = "A network of the container's own. Only root could connect it to another one, so "
                  "it takes --network none.",
           .environment = "NET UNSHARE_NET"},
    Option{.name = "network", .kind = text, .value = "none",
           .doc = "none: no network but a loopback device. Implies --net.",
           .environment = "NETWORK"},
    Option{.name = "dns", .kind = list, .value = "ADDRESS,…",
           .doc = "Name servers for the container's /etc/resolv.conf, in place of the node's.",
           .environment = "DNS", .check = check_address},
    Option{.name = "userns", .letter = 'u',
           .doc = "Use a user namespace. Slipway always does; the option is accepted for compatibility.",
           .environment = "USERNS UNSHARE_USERNS"},
    Option{.name = "no-privs",
           .doc = "Drop all capabilities. Slipway always does; the option is accepted for compatibility.",
           .environment = "NO_PRIVS"},
};

constexpr std::array device_options{
    Option{.name = "nv",
           .doc = "Use NVIDIA GPUs: the libraries, programs and sockets of the node's driver appear "
                  "in the container, and with --contain its devices.",
           .environment = "NV"},
    Option{.name = "rocm",
           .doc = "Use AMD GPUs: with --contain their devices appear in the container, and those "
                  "few libraries of the node that the image lacks. With --nv it has no effect.",
           .environment = "ROCM"},
};

constexpr std::array environment_options{
    Option{.name = "env", .kind = texts, .value = "NAME=VALUE[,NAME=VALUE…]",
           .doc = "Set variables in the container. An argument with a single = is taken whole, "
                  "commas included. May be given more than once.",
           .check = check_env},
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
           .doc = "The shell to run, as a path in the container.", .environment = "SHELL",
           .check = check_shell},
};

constexpr OptionGroup mounts{"Files and directories", mount_options};
constexpr OptionGroup isolation{"Isolation", isolation_options};
constexpr OptionGroup devices{"Devices", device_options};
constexpr OptionGroup variables{"Environment and arguments", environment_options};
constexpr OptionGroup output{"Output", output_options};
constexpr OptionGroup shell_choice{"Shell", shell_only_options};

} // namespace

std::span<const OptionGroup> exec_options() {
    static const std::array groups{mounts,          isolation, devices,          variables,
                                   fetch_options(), output,    refused_options()};
    return groups;
}

std::span<const OptionGroup> run_options() {
    return exec_options();
}

std::span<const OptionGroup> shell_options() {
    static const std::array groups{shell_choice, mounts,          isolation, devices,
                                   variables,    fetch_options(), output,    refused_options()};
    return groups;
}

} // namespace slipway::cli
