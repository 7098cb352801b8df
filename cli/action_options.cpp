// SPDX-License-Identifier: Apache-2.0
// Options of run, exec and shell. Names, letters and environment variables are those of Singularity
// and Apptainer, so that commands from their documentation work.
#include "cli/verbs.hpp"

#include <array>

namespace slipway::cli {
namespace {

constexpr auto flag = OptionKind::flag;
constexpr auto text = OptionKind::text;
constexpr auto list = OptionKind::list;
constexpr auto texts = OptionKind::texts;

constexpr std::array mount_options{
    Option{"bind", 'B', texts, "SRC[:DST[:OPTIONS]],…",
           "Show a file or directory of the host in the container, at DST or at the same place. "
           "OPTIONS are ro and rw. May be given more than once.",
           "BIND BINDPATH", "", "", "file"},
    Option{"mount", 0, texts, "type=bind,source=SRC,destination=DST[,ro]",
           "The same in another spelling, for paths with commas and colons (put them in double "
           "quotes). May be given more than once.",
           "MOUNT", "", ""},
    Option{"home", 'H', text, "SRC[:DST]",
           "Use the host directory SRC as home directory, at DST or at the same place.", "HOME", "",
           "", "dir"},
    Option{"no-home", 0, flag, "", "Leave the home directory out.", "NO_HOME", "", ""},
    Option{
        "no-mount", 0, list, "NAME,…",
        "Leave out a mount that the container would have: proc, sys, dev, devpts, home, tmp, cwd, "
        "bind-paths (those of the site), or the absolute path of a site bind.",
        "NO_MOUNT", "", ""},
    Option{"scratch", 'S', list, "DIR,…", "A fresh empty directory in memory at DIR.",
           "SCRATCH SCRATCHDIR", "", ""},
    Option{"cwd", 0, text, "DIR",
           "Start in this directory of the container. Without it the command starts in the current "
           "directory if the container shows it, else in the home directory, else in /.",
           "CWD PWD TARGET_PWD", "pwd", ""},
    Option{"writable-tmpfs", 0, flag, "",
           "Let the whole file system of the container appear writable. Changes are kept in memory "
           "and vanish with the container.",
           "WRITABLE_TMPFS", "", ""},
};

constexpr std::array isolation_options{
    Option{
        "contain", 'c', flag, "",
        "Show no directories of the host but those asked for: empty /tmp and home, a minimal /dev.",
        "CONTAIN", "", ""},
    Option{"containall", 'C', flag, "", "Like --contain --cleanenv.", "CONTAINALL", "", ""},
    Option{"compat", 0, flag, "",
           "As Docker does it: --containall --no-umask --no-eval --writable-tmpfs.", "COMPAT", "",
           ""},
    Option{"userns", 'u', flag, "",
           "Use a user namespace. Slipway always does; the option is accepted for habit.",
           "USERNS UNSHARE_USERNS", "", ""},
    Option{"no-privs", 0, flag, "",
           "Drop all capabilities. Slipway always does; the option is accepted for habit.",
           "NO_PRIVS", "", ""},
    Option{"no-init", 0, flag, "",
           "Run no init process. Slipway never does; the option is accepted for habit.",
           "NOSHIMINIT NO_INIT", "", ""},
    Option{"no-pid", 0, flag, "",
           "Keep the host's process namespace. Slipway always does; accepted for habit.", "NO_PID",
           "", ""},
};

constexpr std::array environment_options{
    Option{"env", 0, texts, "NAME=VALUE[,NAME=VALUE…]",
           "Set variables in the container. An argument with a single = is taken whole, commas "
           "included. May be given more than once.",
           "", "", ""},
    Option{"env-file", 0, list, "FILE,…",
           "Set the variables that this shell script sets. It is run on the host by /bin/sh.",
           "ENV_FILE", "", "", "file"},
    Option{"cleanenv", 'e', flag, "",
           "Keep the host's variables out, but for TERM and the proxy settings.", "CLEANENV", "",
           ""},
    Option{
        "no-eval", 0, flag, "",
        "Take arguments and values of variables literally. Without it the shell code in a native "
        "image evaluates $NAME and $(command) in them once more.",
        "NO_EVAL", "", ""},
    Option{"no-umask", 0, flag, "", "Start with umask 0022 instead of the caller's.", "NO_UMASK",
           "", ""},
};

/// Handed on to `slipway stage`, which also knows their environment variables.
constexpr std::array fetch_options{
    Option{
        "pull", 0, text, "WHEN",
        "missing: fetch what is not in the store; always: ask the registry what a tag means now; "
        "never: take only what is in the store.",
        "", "", ""},
    Option{"authfile", 0, text, "FILE", "Credentials in docker's config.json form.", "", "", "",
           "file"},
    Option{"no-https", 0, flag, "", "Plain HTTP for a registry on this machine.", "", "nohttps",
           ""},
};

constexpr std::array output_options{
    Option{"dry-run", 0, flag, "", "Print what would be mounted and run, and start nothing.", "",
           "", ""},
    Option{"json", 0, flag, "", "With --dry-run: print it as JSON.", "", "", ""},
};

constexpr std::array shell_only_options{
    Option{"shell", 's', text, "PATH", "The shell to run, as a path in the container.", "SHELL", "",
           ""},
};

constexpr std::string_view no_gpu = "this version passes no GPU libraries into containers; the "
                                    "device files are there, unless --contain is given";
constexpr std::string_view no_namespace = "this version makes a user and a mount namespace only";
constexpr std::string_view no_overlay =
    "use --writable-tmpfs to change files for one run, or bind a "
    "writable directory";
constexpr std::string_view no_privilege =
    "Slipway runs every container without privileges; remove the option";
constexpr std::string_view no_cgroup = "let Slurm limit resources, or use systemd-run";
constexpr std::string_view no_encryption = "this version reads no encrypted images";
constexpr std::string_view no_fetch_option =
    "fetch the image first with slipway pull, which takes options about registries";
constexpr std::string_view no_oci = "images always run in native mode; remove the option";

/// Recognised so that nobody believes that they had an effect.
constexpr std::array unsupported_options{
    Option{"nv", 0, flag, "", "", "NV", "", no_gpu},
    Option{"nvccli", 0, flag, "", "", "NVCCLI", "", no_gpu},
    Option{"rocm", 0, flag, "", "", "ROCM", "", no_gpu},
    Option{"intel-hpu", 0, flag, "", "", "INTEL_HPU", "", no_gpu},
    Option{"device", 0, list, "DEVICE", "", "DEVICE", "", no_gpu},
    Option{"cdi-dirs", 0, list, "DIR", "", "CDI_DIRS", "", no_gpu},
    Option{"pid", 'p', flag, "", "", "PID UNSHARE_PID", "", no_namespace},
    Option{"ipc", 'i', flag, "", "", "IPC UNSHARE_IPC", "", no_namespace},
    Option{"net", 'n', flag, "", "", "NET UNSHARE_NET", "", no_namespace},
    Option{"uts", 0, flag, "", "", "UTS UNSHARE_UTS", "", no_namespace},
    Option{"hostname", 0, text, "NAME", "", "HOSTNAME", "", no_namespace},
    Option{"network", 0, list, "NAME", "", "NETWORK", "", no_namespace},
    Option{"network-args", 0, texts, "ARGS", "", "NETWORK_ARGS", "", no_namespace},
    Option{"netns-path", 0, text, "PATH", "", "NETNS_PATH", "", no_namespace},
    Option{"dns", 0, text, "ADDRESS", "", "DNS", "",
           "bind a resolv.conf of your own to /etc/resolv.conf"},
    Option{"writable", 'w', flag, "", "", "WRITABLE", "",
           "use --writable-tmpfs to change files for one run, or bind a writable directory"},
    Option{"overlay", 'o', list, "PATH", "", "OVERLAY OVERLAYIMAGE", "", no_overlay},
    Option{"workdir", 'W', text, "DIR", "", "WORKDIR", "",
           "bind directories of your choice to /tmp, /var/tmp and the home directory"},
    Option{"fusemount", 0, texts, "SPEC", "", "FUSESPEC", "",
           "mount it on the host and use --bind"},
    Option{"data", 0, list, "SPEC", "", "DATA", "", "mount it on the host and use --bind"},
    Option{"fakeroot", 'f', flag, "", "", "FAKEROOT", "",
           "this version runs containers as the calling user only"},
    Option{"app", 0, text, "NAME", "", "APP APPNAME", "",
           "this version does not run SCIF apps; call the program by its path below /scif/apps"},
    Option{"add-caps", 0, texts, "CAPS", "", "ADD_CAPS", "", no_privilege},
    Option{"drop-caps", 0, texts, "CAPS", "", "DROP_CAPS", "", no_privilege},
    Option{"keep-privs", 0, flag, "", "", "KEEP_PRIVS", "", no_privilege},
    Option{"allow-setuid", 0, flag, "", "", "ALLOW_SETUID", "", no_privilege},
    Option{"security", 0, texts, "SPEC", "", "SECURITY", "", no_privilege},
    Option{"apply-cgroups", 0, text, "FILE", "", "APPLY_CGROUPS", "", no_cgroup},
    Option{"memory", 0, text, "BYTES", "", "MEMORY", "", no_cgroup},
    Option{"cpus", 0, text, "N", "", "CPUS", "", no_cgroup},
    Option{"pids-limit", 0, text, "N", "", "PIDS_LIMIT", "", no_cgroup},
    Option{"pem-path", 0, text, "FILE", "", "ENCRYPTION_PEM_PATH", "", no_encryption},
    Option{"passphrase", 0, flag, "", "", "", "", no_encryption},
    Option{"docker-login", 0, flag, "", "", "", "", no_fetch_option},
    Option{"docker-host", 0, text, "URL", "", "", "", no_fetch_option},
    Option{"disable-cache", 0, flag, "", "", "", "", no_fetch_option},
    Option{"oci", 0, flag, "", "", "OCI", "", no_oci},
    Option{"underlay", 0, flag, "", "", "UNDERLAY", "",
           "Slipway chooses by itself how mount points are made; remove the option"},
    Option{"sharens", 0, flag, "", "", "SHARENS", "",
           "under srun all tasks of a node share one container anyway"},
    Option{"vm", 0, flag, "", "", "VM", "", "images run on the host's kernel only"},
};

constexpr OptionGroup mounts{"Files and directories", mount_options};
constexpr OptionGroup isolation{"Isolation", isolation_options};
constexpr OptionGroup variables{"Environment and arguments", environment_options};
constexpr OptionGroup fetching{"Images that are not files", fetch_options};
constexpr OptionGroup output{"Output", output_options};
constexpr OptionGroup shell_choice{"Shell", shell_only_options};
constexpr OptionGroup refused{"", unsupported_options};

constexpr std::array exec_groups{mounts, isolation, variables, fetching, output, refused};
constexpr std::array shell_groups{shell_choice, mounts, isolation, variables,
                                  fetching,     output, refused};

} // namespace

std::span<const OptionGroup> run_options() {
    return exec_groups;
}

std::span<const OptionGroup> exec_options() {
    return exec_groups;
}

std::span<const OptionGroup> shell_options() {
    return shell_groups;
}

} // namespace slipway::cli
