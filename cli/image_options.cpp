// SPDX-License-Identifier: Apache-2.0
// Options about images: how they are fetched, the verbs stage, pull and build, and what this version
// recognises in order to refuse it. Names, letters and variables are those of Singularity and Apptainer.
#include "base/format.hpp"
#include "base/text.hpp"
#include "cli/verbs.hpp"
#include "image/oci.hpp"
#include "prefetch/stage/stage_types.hpp"

#include <array>

namespace slipway::cli {
namespace {

using enum OptionKind;
using base::Code;
using base::fail;
using base::Result;
using prefetch::stage::pull_policies;
using prefetch::stage::PullPolicy;

Result<void> check_pull(std::string_view value) {
    return pull_policies.value(value)
               ? Result<void>()
               : fail(Code::option_invalid, base::in_quotes(value) + " is not known",
                      "write one of " + base::joined(pull_policies.names(), ", "));
}

Result<void> check_platform(std::string_view value) {
    TRY(image::parse_platform(value));
    return {};
}

constexpr std::array fetch_table{
    Option{.name = "pull", .kind = text, .value = "WHEN",
           .doc = "missing: what is in the store is not fetched again, and a tag costs one small "
                  "request; always: ask the registry what a tag means now, and fail when it does "
                  "not answer; never: take only what is in the store. Without it: missing.",
           .environment = "PULL", .check = check_pull},
    Option{.name = "platform", .kind = text, .value = "OS/ARCH[/VARIANT]",
           .doc = "The image for this platform instead of this machine's.",
           .environment = "PULL_PLATFORM", .check = check_platform},
    Option{.name = "arch", .kind = text, .value = "ARCH",
           .doc = "The same, by architecture alone: arm64.", .environment = "PULL_ARCH",
           .check = check_platform},
    Option{.name = "authfile", .kind = text, .value = "FILE",
           .doc = "Credentials in the form of Docker's config.json.", .environment = "AUTHFILE",
           .files = "file"},
    Option{.name = "no-https", .doc = "Plain HTTP for a registry on this machine.",
           .environment = "NOHTTPS NO_HTTPS", .alias = "nohttps"},
    Option{.name = "disable-cache",
           .doc = "Neither use the store nor leave anything in it: fetch the image anew. "
                  "Temporary files go to a directory in SLIPWAY_TMPDIR.",
           .environment = "DISABLE_CACHE"},
};

constexpr Option print_path{.name = "print-path", .doc = "Print the path of the image file only."};

constexpr std::array stage_table{
    print_path,
    Option{.name = "print-keys", .doc = "Print id=, pinned= and, for a store of your own, store= lines, for programs."},
    Option{.name = "detach", .doc = "Print these lines as soon as the image is identified, "
                                    "and go on in the background."},
    Option{.name = "json", .letter = 'j', .doc = "Progress and result as JSON lines on stdout."},
};

constexpr Option force{.name = "force", .letter = 'F',
                       .doc = "Replace an existing file without asking.", .environment = "FORCE"};
constexpr Option json_lines{.name = "json", .letter = 'j',
                            .doc = "Progress and result as JSON lines on stdout."};

constexpr std::array pull_table{
    force,
    Option{.name = "dir", .kind = text, .value = "DIR", .doc = "Put the file there.",
           .environment = "PULLDIR PULLFOLDER", .files = "dir"},
    Option{.name = "name", .kind = text, .value = "FILE", .doc = "Name of the file.",
           .environment = "NAME"},
    print_path,
    json_lines,
    Option{.name = "allow-unsigned", .letter = 'U',
           .doc = "Accept images without a signature. Slipway checks none; accepted for compatibility."},
};
constexpr std::array build_table{
    force,
    print_path,
    json_lines,
};

constexpr std::string_view no_gpu = "this version knows --nv and --rocm only";
constexpr std::string_view no_network =
    "without root a container has the node's network or, with --network none, none";
constexpr std::string_view no_privilege =
    "Slipway runs every container without privileges; remove the option";
constexpr std::string_view no_cgroup = "let Slurm limit resources, or use systemd-run";
constexpr std::string_view no_encryption = "this version reads no encrypted images";
constexpr std::string_view no_password =
    "log in with docker login or podman login, or set SLIPWAY_DOCKER_USERNAME and "
    "SLIPWAY_DOCKER_PASSWORD";
constexpr std::string_view no_oci = "images always run in native mode; remove the option";

/// Recognised so that nobody believes that they had an effect.
constexpr std::array refused_table{
    Option{.name = "nvccli", .environment = "NVCCLI", .unsupported = no_gpu},
    Option{.name = "intel-hpu", .environment = "INTEL_HPU", .unsupported = no_gpu},
    Option{.name = "device", .kind = list, .value = "DEVICE", .environment = "DEVICE",
           .unsupported = no_gpu},
    Option{.name = "cdi-dirs", .kind = list, .value = "DIR", .environment = "CDI_DIRS",
           .unsupported = no_gpu},
    Option{.name = "network-args", .kind = texts, .value = "ARGS", .environment = "NETWORK_ARGS",
           .unsupported = no_network},
    Option{.name = "netns-path", .kind = text, .value = "PATH", .environment = "NETNS_PATH",
           .unsupported = no_network},
    Option{.name = "fusemount", .kind = texts, .value = "SPEC", .environment = "FUSESPEC",
           .unsupported = "mount it on the host and use --bind"},
    Option{.name = "data", .kind = list, .value = "SPEC", .environment = "DATA",
           .unsupported = "mount it on the host and use --bind"},
    Option{.name = "app", .kind = text, .value = "NAME", .environment = "APP APPNAME",
           .unsupported = "this version does not run SCIF apps; call the program by its path below "
                          "/scif/apps"},
    Option{.name = "add-caps", .kind = texts, .value = "CAPS", .environment = "ADD_CAPS",
           .unsupported = no_privilege},
    Option{.name = "drop-caps", .kind = texts, .value = "CAPS", .environment = "DROP_CAPS",
           .unsupported = no_privilege},
    Option{.name = "keep-privs", .environment = "KEEP_PRIVS", .unsupported = no_privilege},
    Option{.name = "allow-setuid", .environment = "ALLOW_SETUID", .unsupported = no_privilege},
    Option{.name = "security", .kind = texts, .value = "SPEC", .environment = "SECURITY",
           .unsupported = no_privilege},
    Option{.name = "apply-cgroups", .kind = text, .value = "FILE",
           .environment = "APPLY_CGROUPS", .unsupported = no_cgroup},
    Option{.name = "memory", .kind = text, .value = "BYTES", .environment = "MEMORY",
           .unsupported = no_cgroup},
    Option{.name = "cpus", .kind = text, .value = "N", .environment = "CPUS",
           .unsupported = no_cgroup},
    Option{.name = "pids-limit", .kind = text, .value = "N", .environment = "PIDS_LIMIT",
           .unsupported = no_cgroup},
    Option{.name = "pem-path", .kind = text, .value = "FILE",
           .environment = "ENCRYPTION_PEM_PATH", .unsupported = no_encryption},
    Option{.name = "passphrase", .unsupported = no_encryption},
    Option{.name = "docker-login", .unsupported = no_password},
    Option{.name = "docker-username", .kind = text, .value = "NAME", .unsupported = no_password},
    Option{.name = "docker-password", .kind = text, .value = "WORD", .unsupported = no_password},
    Option{.name = "docker-host", .kind = text, .value = "URL",
           .unsupported = "this version talks to no Docker daemon; write the image to a file with "
                          "docker save and use docker-archive:FILE"},
    Option{.name = "library", .kind = text, .value = "URL", .environment = "LIBRARY",
           .unsupported = "this version fetches nothing from library servers"},
    Option{.name = "oci", .environment = "OCI", .unsupported = no_oci},
    Option{.name = "underlay", .environment = "UNDERLAY",
           .unsupported = "Slipway chooses by itself how mount points are made; remove the option"},
    Option{.name = "sharens", .environment = "SHARENS",
           .unsupported = "under srun all tasks of a node share one container anyway"},
    Option{.name = "vm", .environment = "VM",
           .unsupported = "images run on the host's kernel only"},
};

/// Outside of run, exec and shell no variable may ask for these: SINGULARITY_NV=1 in a user's profile
/// is meant for the containers.
constexpr auto without_variables = [] {
    auto table = refused_table;
    for (auto& option : table) {
        option.environment = "";
    }
    return table;
}();

constexpr std::string_view no_definition =
    "this version builds from images only, not from definition files";
constexpr std::string_view no_remote = "this version builds on this machine only";
constexpr std::string_view only_sif = "this version makes SIF files only";

constexpr std::array refused_in_build{
    Option{.name = "sandbox", .letter = 's', .unsupported = only_sif},
    Option{.name = "update", .letter = 'u', .unsupported = only_sif},
    Option{.name = "fix-perms", .unsupported = only_sif},
    Option{.name = "encrypt", .letter = 'e', .unsupported = "this version encrypts no images"},
    Option{.name = "notest", .letter = 'T', .unsupported = no_definition},
    Option{.name = "section", .kind = list, .value = "NAME", .unsupported = no_definition},
    Option{.name = "build-arg", .kind = texts, .value = "NAME=VALUE", .unsupported = no_definition},
    Option{.name = "build-arg-file", .kind = text, .value = "FILE", .unsupported = no_definition},
    Option{.name = "warn-unused-build-args", .unsupported = no_definition},
    Option{.name = "bind", .letter = 'B', .kind = texts, .value = "SPEC",
           .unsupported = no_definition},
    Option{.name = "mount", .kind = texts, .value = "SPEC", .unsupported = no_definition},
    Option{.name = "writable-tmpfs", .unsupported = no_definition},
    Option{.name = "userns", .unsupported = no_definition},
    Option{.name = "nv", .unsupported = no_definition},
    Option{.name = "rocm", .unsupported = no_definition},
    Option{.name = "remote", .letter = 'r', .unsupported = no_remote},
    Option{.name = "detached", .unsupported = no_remote},
    Option{.name = "builder", .kind = text, .value = "URL", .unsupported = no_remote},
    Option{.name = "mksquashfs-args", .kind = text, .value = "ARGS",
           .unsupported = "the section convert of the site file says how images are compressed"},
    Option{.name = "no-cleanup", .unsupported = "nothing is unpacked that could be kept"},
};

constexpr OptionGroup fetching{"Images that are not files", fetch_table};

} // namespace

OptionGroup fetch_options() {
    return fetching;
}

Result<std::string> wanted_platform(const Arguments& arguments) {
    const auto* platform = arguments.last("platform");
    const auto* arch = arguments.last("arch");
    if (platform != nullptr && arch != nullptr && platform->typed() == arch->typed()) {
        return fail(Code::usage,
                    fmt::format("{} and {} exclude each other", platform->source, arch->source),
                    "give one of them");
    }
    const auto* wanted = platform == nullptr || (arch != nullptr && arch->typed()) ? arch : platform;
    return wanted == nullptr ? std::string() : wanted->value;
}

Result<void> check_fetching(const Arguments& arguments) {
    TRY(wanted_platform(arguments));
    const auto* pull = arguments.last("pull");
    if (pull != nullptr && pull_policies.value(pull->value) == PullPolicy::never &&
        arguments.flag("disable-cache")) {
        return fail(Code::usage,
                    fmt::format("{}=never takes images from the store only, and {} none",
                                pull->source, arguments.last("disable-cache")->source),
                    "give one of them");
    }
    return {};
}

OptionGroup refused_options() {
    return {"", refused_table};
}

std::span<const OptionGroup> stage_options() {
    static constexpr std::array groups{fetching, OptionGroup{"Output", stage_table},
                                       OptionGroup{"", without_variables}};
    return groups;
}

std::span<const OptionGroup> pull_options() {
    static constexpr std::array groups{OptionGroup{"File", pull_table}, fetching,
                                       OptionGroup{"", without_variables}};
    return groups;
}

std::span<const OptionGroup> build_options() {
    static constexpr std::array groups{OptionGroup{"File", build_table}, fetching,
                                       OptionGroup{"", refused_in_build},
                                       OptionGroup{"", without_variables}};
    return groups;
}

} // namespace slipway::cli
