// SPDX-License-Identifier: Apache-2.0
#include "cli/verbs.hpp"

#include <array>

namespace slipway::cli {
namespace {

constexpr auto flag = OptionKind::flag;

constexpr std::array common_options{
    Option{"quiet", 'q', flag, "", "No informative messages.", "", "", ""},
    Option{"silent", 's', flag, "", "No messages but errors.", "", "", ""},
    Option{"verbose", 'v', flag, "", "More messages about what is done.", "", "", ""},
    Option{"debug", 'd', flag, "", "All messages, for reports of errors.", "", "", ""},
};
constexpr std::array common_groups{OptionGroup{"Messages", common_options}};

constexpr std::array inspect_option_table{
    Option{"labels", 'l', flag, "", "Labels; also what is shown without any option.", "", "", ""},
    Option{"deffile", 'd', flag, "", "The definition that the image was made from.", "", "", ""},
    Option{"runscript", 'r', flag, "", "The script behind slipway run.", "", "", ""},
    Option{"startscript", 's', flag, "", "The script for instances.", "", "", ""},
    Option{"test", 't', flag, "", "The test script.", "", "", ""},
    Option{"environment", 'e', flag, "", "The scripts that set the environment.", "", "", ""},
    Option{"helpfile", 'H', flag, "", "The help text.", "", "", ""},
    Option{"list-apps", 0, flag, "", "Names of the SCIF apps in the image.", "", "", ""},
    Option{"app", 0, OptionKind::text, "NAME", "Show the parts of this app.", "", "", ""},
    Option{"all", 0, flag, "", "Everything, as JSON.", "", "", ""},
    Option{"json", 'j', flag, "", "As JSON.", "", "", ""},
};
constexpr std::array inspect_groups{OptionGroup{"Parts", inspect_option_table}};

constexpr std::array json_option_table{
    Option{"json", 'j', flag, "", "Print JSON.", "", "", ""},
};
constexpr std::array json_groups{OptionGroup{"Output", json_option_table}};

constexpr std::array help_option_table{
    Option{"man", 0, flag, "", "Print the man page, in roff.", "", "", ""},
    Option{"completion", 0, OptionKind::text, "SHELL",
           "Print completion rules for a shell; bash is known.", "", "", ""},
};
constexpr std::array help_groups{OptionGroup{"Output", help_option_table}};

constexpr std::string_view image_text =
    "IMAGE is a SIF file, a SquashFS file (.sqsh, .sqfs) or a directory with a root file system. "
    "It may also be a name with a transport, such as docker://debian:12, oras://host/name:tag or "
    "oci:directory, or a plain docker reference such as debian:12: such an image is fetched into "
    "the store first, unless it is there already.";

constexpr std::string_view environment_text =
    "Options end at the image: what follows it belongs to the command.\n\n"
    "Most options can be set by environment variables named SLIPWAY_, APPTAINER_ or SINGULARITY_ "
    "and the name shown below; the option wins over the variable, except that lists are "
    "added up. SLIPWAYENV_NAME, APPTAINERENV_NAME and SINGULARITYENV_NAME set the variable NAME in "
    "the container. Variables of the image win over those of the host; --env wins over all.";

constexpr std::array exec_examples{
    Example{"slipway exec debian.sif cat /etc/os-release", "Run a command from the image."},
    Example{"slipway exec -B /scratch,/data:/mnt:ro tools.sif make -C /scratch/build",
            "With two directories of the host."},
    Example{"slipway exec --contain --env OMP_NUM_THREADS=4 docker://python:3.12 python3 -V",
            "A reference, little of the host and one more variable."},
    Example{"srun -N2 slipway exec debian.sif hostname",
            "In a job. Faster, and with one mount per node: srun --container-image=debian.sif."},
};
constexpr std::array run_examples{
    Example{"slipway run lolcow.sif", "Do what the image is for."},
    Example{"slipway run docker://alpine:3.20 ls -l /",
            "Arguments replace the CMD of a Docker image and follow its ENTRYPOINT."},
};
constexpr std::array shell_examples{
    Example{"slipway shell debian.sif", "Look around in an image."},
    Example{"slipway shell --shell /bin/zsh --writable-tmpfs tools.sif",
            "With another shell, and trying things that write."},
};
constexpr std::array inspect_examples{
    Example{"slipway inspect debian.sif", "The labels."},
    Example{"slipway inspect -d -r debian.sif", "Definition and run script."},
    Example{"slipway inspect --all debian.sif", "Everything, for programs."},
};
constexpr std::array config_examples{
    Example{"slipway config check /etc/slipway/slipway.yaml", "Before a new file is installed."},
    Example{"slipway config show", "What is in force for you on this machine."},
    Example{"slipway config example > slipway.yaml", "A file to begin with."},
};
constexpr std::array doctor_examples{
    Example{"slipway doctor", "On a login node, and on a compute node: srun -N1 slipway doctor."},
    Example{"slipway doctor --json", "For a monitoring system; the exit status is 1 if a check failed."},
};
constexpr std::array help_examples{
    Example{"slipway help exec", "How to use exec."},
    Example{"slipway help --man exec | man -l -", "The same as a man page."},
    Example{"source <(slipway help --completion bash)", "Completion in this shell."},
};

// The descriptions are put together at compile time: one text for help and man page.
template <std::size_t n>
struct Joined {
    char text[n + 1]{};
    constexpr operator std::string_view() const { return {text, n}; }
};
template <const std::string_view&... parts>
constexpr auto join() {
    Joined<(parts.size() + ...)> joined;
    std::size_t at = 0;
    const auto append = [&](std::string_view part) {
        for (const char c : part) {
            joined.text[at++] = c;
        }
    };
    (append(parts), ...);
    return joined;
}

constexpr std::string_view gap = "\n\n";
constexpr std::string_view exec_text =
    "Runs COMMAND in a container made from IMAGE, as yourself, with your home directory, the "
    "current "
    "directory, /tmp and the site's directories visible in it. The command's exit status is "
    "slipway's.";
constexpr std::string_view run_text =
    "Runs what the image was made to run: the run script of a native image, ENTRYPOINT and CMD of "
    "a "
    "Docker or OCI image. ARGUMENTS are handed to it. An image without a run script gives /bin/sh.";
constexpr std::string_view shell_text =
    "Opens an interactive shell in a container made from IMAGE: the one named by --shell, else "
    "bash "
    "if the image has it, else sh. Arguments are given to the shell.";
constexpr auto exec_description = join<exec_text, gap, image_text, gap, environment_text>();
constexpr auto run_description = join<run_text, gap, image_text, gap, environment_text>();
constexpr auto shell_description = join<shell_text, gap, image_text, gap, environment_text>();

const std::array verb_table{
    Verb{"run", "Run what an image is made for", "run [OPTIONS] IMAGE [ARGUMENTS…]",
         run_description, run_options(), run_examples, Words::end_options, "", "file",
         "slipway-exec(1) slipway-shell(1) slipway.yaml(5)"},
    Verb{"exec", "Run a command in a container", "exec [OPTIONS] IMAGE COMMAND [ARGUMENTS…]",
         exec_description, exec_options(), exec_examples, Words::end_options, "", "file",
         "slipway-run(1) slipway-shell(1) slipway.yaml(5)"},
    Verb{"shell", "Open a shell in a container", "shell [OPTIONS] IMAGE [ARGUMENTS…]",
         shell_description, shell_options(), shell_examples, Words::end_options, "", "file",
         "slipway-exec(1) slipway-run(1) slipway.yaml(5)"},
    Verb{"inspect", "Show labels and scripts of an image", "inspect [OPTIONS] IMAGE",
         "Shows what an image file or directory says about itself. Several parts may be asked for "
         "at once. Texts are shown with control characters escaped when they go to a terminal.",
         inspect_groups, inspect_examples, Words::anywhere, "", "file", "slipway-run(1)"},
    Verb{"config",
         "Check and show the site configuration",
         "config check [FILE]\nconfig show\nconfig example",
         "check reads FILE, or the configuration in force, and tells every mistake with its line. "
         "Ownership and permissions are checked as privileged programs do it when FILE is not "
         "given.\n\n"
         "show prints the values in force, defaults included, as YAML.\n\n"
         "example prints a file with every key, its default and its documentation.\n\n"
         "The configuration in force is the file named by SLIPWAY_CONFIG, else "
         "/etc/slipway/slipway.yaml; without either the built-in defaults hold. Slurm's part and "
         "the service never listen to SLIPWAY_CONFIG.",
         {},
         config_examples,
         Words::anywhere,
         "check show example",
         "file",
         "slipway.yaml(5)"},
    Verb{"doctor", "Check what containers need on this machine", "doctor [--json]",
         "Looks at the kernel, user namespaces, /dev/fuse, the site file, the store, the service, the "
         "registries that the site file names, and at Slurm and the plugin that it loads. Every check "
         "passes, warns or fails, and says what to do. Nothing is changed. The exit status is 1 when "
         "a check failed.",
         json_groups, doctor_examples, Words::anywhere, "", "", "slipway-config(1) slipway.yaml(5)"},
    Verb{"help", "Explain a verb", "help [OPTIONS] [VERB]",
         "Shows the verbs, or explains one. slipway VERB --help does the same.", help_groups,
         help_examples, Words::anywhere, "", "", "slipway(1)"},
    Verb{"version",
         "Print the version",
         "version [--json]",
         "Prints the version of slipway.",
         json_groups,
         {},
         Words::anywhere,
         "",
         "",
         "slipway(1)"},
};

} // namespace

std::span<const Verb> verbs() {
    return verb_table;
}

const Verb* find_verb(std::string_view name) {
    for (const auto& verb : verb_table) {
        if (verb.name == name) {
            return &verb;
        }
    }
    return nullptr;
}

std::span<const OptionGroup> global_options() {
    return common_groups;
}

std::vector<OptionGroup> all_options(const Verb& verb) {
    std::vector<OptionGroup> groups(verb.options.begin(), verb.options.end());
    groups.insert(groups.end(), common_groups.begin(), common_groups.end());
    return groups;
}

char effective_letter(const Option& option, std::span<const OptionGroup> groups) {
    for (const auto& group : groups) {
        for (const auto& other : group.options) {
            if (other.letter == option.letter) {
                return &other == &option ? option.letter : '\0';
            }
        }
    }
    return option.letter;
}

} // namespace slipway::cli
