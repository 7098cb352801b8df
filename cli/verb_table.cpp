// SPDX-License-Identifier: Apache-2.0
#include "base/format.hpp"
#include "base/text.hpp"
#include "cli/verbs.hpp"

#include <algorithm>
#include <array>

namespace slipway::cli {
namespace {

using enum OptionKind;

base::Result<void> check_days(std::string_view value) {
    if (!base::parse_u64(value, most_days)) {
        return base::fail(base::Code::option_invalid,
                          base::in_quotes(value) + " is not a number of days",
                          "write for example --days 30");
    }
    return {};
}

constexpr std::array message_table{
    Option{.name = "quiet", .letter = 'q', .doc = "No informative messages."},
    Option{.name = "silent", .letter = 's', .doc = "No messages but errors."},
    Option{.name = "verbose", .letter = 'v', .doc = "More messages about what is done."},
    Option{.name = "debug", .letter = 'd', .doc = "All messages, for reports of errors."},
};
constexpr std::array site_table{
    Option{.name = "config", .kind = text, .value = "FILE",
           .doc = "Use this site file instead of the one in force.", .files = "file"},
};
constexpr std::array common_groups{OptionGroup{"Messages", message_table},
                                   OptionGroup{"Site", site_table}};

constexpr std::array inspect_table{
    Option{.name = "labels", .letter = 'l',
           .doc = "Labels; also what is shown without any option."},
    Option{.name = "deffile", .letter = 'd', .doc = "The definition that the image was made from."},
    Option{.name = "runscript", .letter = 'r', .doc = "The script behind slipway run."},
    Option{.name = "startscript", .letter = 's', .doc = "The script for instances."},
    Option{.name = "test", .letter = 't', .doc = "The test script."},
    Option{.name = "environment", .letter = 'e', .doc = "The scripts that set the environment."},
    Option{.name = "helpfile", .letter = 'H', .doc = "The help text."},
    Option{.name = "list-apps", .doc = "Names of the SCIF apps in the image."},
    Option{.name = "app", .kind = text, .value = "NAME", .doc = "Show the parts of this app."},
    Option{.name = "all", .doc = "Everything, as JSON."},
    Option{.name = "json", .letter = 'j', .doc = "As JSON."},
};
std::span<const OptionGroup> inspect_options() {
    static const std::array groups{OptionGroup{"Parts", inspect_table}, fetch_options()};
    return groups;
}

constexpr std::array json_table{Option{.name = "json", .letter = 'j', .doc = "Print JSON."}};
constexpr std::array json_groups{OptionGroup{"Output", json_table}};

constexpr std::array help_table{
    Option{.name = "man", .doc = "Print the man page, in roff."},
    Option{.name = "completion", .kind = text, .value = "SHELL",
           .doc = "Print completion rules for a shell; bash is known."},
};
constexpr std::array help_groups{OptionGroup{"Output", help_table}};

constexpr std::array images_table{
    Option{.name = "force", .letter = 'F', .doc = "rm: also remove what jobs may still need."},
    Option{.name = "json", .letter = 'j', .doc = "list: print JSON."},
};
constexpr std::array images_groups{OptionGroup{"Options", images_table}};

constexpr std::array cache_table{
    Option{.name = "force", .letter = 'f', .doc = "clean: do not ask."},
    Option{.name = "dry-run", .letter = 'n', .doc = "clean: print what would be removed."},
    Option{.name = "days", .letter = 'D', .kind = text, .value = "DAYS",
           .doc = "clean: only images that were staged at least so many days ago.",
           .check = check_days},
    Option{.name = "protected",
           .doc = "clean: also images that are granted to jobs, which may be running, and pinned ones."},
    Option{.name = "repair", .doc = "fsck: remove what is broken."},
    Option{.name = "json", .letter = 'j', .doc = "list, fsck: print JSON."},
};
constexpr std::array cache_groups{OptionGroup{"Options", cache_table}};

// exec, run and shell: what follows the image is the command's, and read_action() looks at it.
constexpr std::array command_forms{Form{.most = any_number, .options = "*"}};
constexpr std::array inspect_forms{
    Form{.least = 1, .most = 1, .takes = "an image", .options = "*"}};
constexpr std::array config_forms{Form{.word = "check", .most = 1}, Form{.word = "show"},
                                  Form{.word = "example", .site = false}};
constexpr std::array doctor_forms{Form{.options = "*"}};
constexpr std::array help_forms{Form{.most = 1, .options = "*", .site = false}};
constexpr std::array version_forms{Form{.options = "*", .site = false}};
constexpr std::array pull_forms{Form{.least = 1, .most = 2, .takes = "an image", .options = "*"}};
constexpr std::array stage_forms{Form{.least = 1, .most = 1, .takes = "an image", .options = "*"}};
constexpr std::array build_forms{
    Form{.least = 2, .most = 2, .takes = "a file and an image", .options = "*"}};
constexpr std::array images_forms{
    Form{.options = "json"},
    Form{.word = "list", .options = "json"},
    Form{.word = "rm", .least = 1, .most = any_number, .takes = "an image", .options = "force"},
    Form{.word = "pin", .least = 1, .most = any_number, .takes = "an image"},
    Form{.word = "unpin", .least = 1, .most = any_number, .takes = "an image"},
};
constexpr std::array cache_forms{
    Form{.word = "list", .options = "json"},
    Form{.word = "clean", .options = "force dry-run days protected"},
    Form{.word = "fsck", .options = "repair json"},
};

/// Verbs of Singularity and Apptainer that people will try.
struct AbsentVerb {
    std::string_view name;
    std::string_view instead = "`slipway help` lists the verbs";
};
constexpr std::array absent_table{
    AbsentVerb{"buildcfg", "`slipway config show` prints the configuration in force"},
    AbsentVerb{"capability"},
    AbsentVerb{"checkpoint"},
    AbsentVerb{"completion", "`slipway help --completion bash` prints completion rules"},
    AbsentVerb{"confgen", "`slipway config example` prints a site file"},
    AbsentVerb{"data"},
    AbsentVerb{"delete"},
    AbsentVerb{"instance"},
    AbsentVerb{"key"},
    AbsentVerb{"keyserver"},
    AbsentVerb{"oci"},
    AbsentVerb{"overlay"},
    AbsentVerb{"plugin"},
    AbsentVerb{"push"},
    AbsentVerb{"registry", "docker login and podman login keep passwords of registries"},
    AbsentVerb{"remote", "docker login and podman login keep passwords of registries"},
    AbsentVerb{"run-help", "`slipway inspect --helpfile IMAGE` shows the help of an image"},
    AbsentVerb{"search"},
    AbsentVerb{"sif"},
    AbsentVerb{"sign"},
    AbsentVerb{"test", "`slipway inspect --test IMAGE` shows the test script of an image"},
    AbsentVerb{"verify"},
};

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
    Example{"slipway doctor --json",
            "For a monitoring system; the exit status is 1 if a check failed."},
};
constexpr std::array help_examples{
    Example{"slipway help exec", "How to use exec."},
    Example{"slipway help --man exec | man -l -", "The same as a man page."},
    Example{"source <(slipway help --completion bash)", "Completion in this shell."},
};
constexpr std::array pull_examples{
    Example{"slipway pull docker://alpine:3.20", "Makes alpine_3.20.sif."},
    Example{"slipway pull --platform linux/arm64 arm.sif docker://alpine:3.20",
            "For another machine, into a file of your choice."},
};
constexpr std::array stage_examples{
    Example{"slipway stage docker://debian:12", "Before the job: the job then starts at once."},
    Example{"slipway stage --print-path nvcr.io#nvidia/pytorch:24.05-py3",
            "enroot's spelling; prints where the image is."},
};
constexpr std::array build_examples{
    Example{"slipway build tools.sif oci-archive:tools.tar", "From an archive."},
    Example{"slipway build -F tools.sif docker://registry.site/tools:2", "Replaces tools.sif."},
};
constexpr std::array images_examples{
    Example{"slipway images", "What is staged for you and for everybody."},
    Example{"slipway images pin 3f9a0c", "Keep that one, whatever the quota says."},
};
constexpr std::array cache_examples{
    Example{"slipway cache list -v", "Your own store."},
    Example{"slipway cache clean --days 30", "What was staged a month ago or earlier."},
    Example{"slipway cache fsck --repair", "Read every image and compare it with its digest."},
};

constexpr std::array variable_table{
    EnvironmentVariable{.names = "SLIPWAY_CONFIG",
                        .doc = "The site file to use at the prompt. Slurm's part and the service do "
                               "not listen to it."},
    EnvironmentVariable{.names = "SLIPWAY_CACHEDIR", .doc = "The user's own store."},
    EnvironmentVariable{.names = "APPTAINER_CACHEDIR, SINGULARITY_CACHEDIR",
                        .doc = "Without SLIPWAY_CACHEDIR the user's own store is the directory "
                               "slipway in this one; the first that is set counts."},
    EnvironmentVariable{.names = "SLIPWAY_TMPDIR, APPTAINER_TMPDIR, SINGULARITY_TMPDIR, TMPDIR",
                        .doc = "Where --disable-cache keeps temporary images. The first that "
                               "is set counts; without any it is /tmp."},
    EnvironmentVariable{.names = "SLIPWAY_DOCKER_USERNAME, SLIPWAY_DOCKER_PASSWORD",
                        .doc = "A login for the registry that is asked. The same with APPTAINER_ "
                               "and SINGULARITY_ in front."},
    EnvironmentVariable{.names = "SLIPWAY_NAME, APPTAINER_NAME, SINGULARITY_NAME",
                        .doc = "Options of verbs, with their names in place of NAME; see the pages "
                               "of the verbs."},
    EnvironmentVariable{.names = "SLIPWAYENV_NAME, APPTAINERENV_NAME, SINGULARITYENV_NAME",
                        .doc = "The variable NAME in the container."},
};

const std::array verb_table{
    Verb{.name = "run",
         .summary = "Run what an image is made for",
         .synopsis = "run [OPTIONS] IMAGE [ARGUMENTS…]",
         .description = "Runs what the image was made to run: the run script of a native image, "
                        "ENTRYPOINT and CMD of a Docker or OCI image. ARGUMENTS are handed to it. "
                        "An image that has none of these gives /bin/sh.\n\n{image}",
         .options = run_options(),
         .examples = run_examples,
         .words = Words::end_options,
         .forms = command_forms,
         .files = "file",
         .see_also = "slipway-exec(1) slipway-shell(1) slipway.yaml(5)",
         .run = run_run},
    Verb{.name = "exec",
         .summary = "Run a command in a container",
         .synopsis = "exec [OPTIONS] IMAGE COMMAND [ARGUMENTS…]",
         .description = "Runs COMMAND in a container made from IMAGE, as yourself, with your home "
                        "directory, the current directory, /tmp and the site's directories visible "
                        "in it. The command's exit status is slipway's.\n\n{image}",
         .options = exec_options(),
         .examples = exec_examples,
         .words = Words::end_options,
         .forms = command_forms,
         .files = "file",
         .see_also = "slipway-run(1) slipway-shell(1) slipway.yaml(5)",
         .run = run_exec},
    Verb{.name = "shell",
         .summary = "Open a shell in a container",
         .synopsis = "shell [OPTIONS] IMAGE [ARGUMENTS…]",
         .description = "Opens an interactive shell in a container made from IMAGE: the one named "
                        "by --shell, else bash if the image has it, else sh. Arguments are given "
                        "to the shell.\n\n{image}",
         .options = shell_options(),
         .examples = shell_examples,
         .words = Words::end_options,
         .forms = command_forms,
         .files = "file",
         .see_also = "slipway-exec(1) slipway-run(1) slipway.yaml(5)",
         .run = run_shell},
    Verb{.name = "inspect",
         .summary = "Show labels and scripts of an image",
         .synopsis = "inspect [OPTIONS] IMAGE",
         .description =
             "Shows what an image file or directory says about itself. Several parts may be asked "
             "for at once. Texts are shown with control characters escaped when they go to a "
             "terminal.",
         .options = inspect_options(),
         .examples = inspect_examples,
         .forms = inspect_forms,
         .files = "file",
         .see_also = "slipway-run(1)",
         .run = run_inspect},
    Verb{.name = "config",
         .summary = "Check and show the site configuration",
         .synopsis = "config check [FILE]\nconfig show\nconfig example",
         .description =
             "check reads FILE, or the configuration in force, and reports every mistake with its "
             "line. Ownership and permissions are checked as privileged programs do it when FILE "
             "is not given.\n\n"
             "show prints the values in force, defaults included, as YAML.\n\n"
             "example prints a file with every key, its default and its documentation.\n\n"
             "The configuration in force is the file named by --config, else by SLIPWAY_CONFIG, "
             "else /etc/slipway/slipway.yaml; without any of them the built-in defaults hold. "
             "The plugin and the service ignore SLIPWAY_CONFIG.",
         .examples = config_examples,
         .forms = config_forms,
         .files = "file",
         .see_also = "slipway.yaml(5)",
         .run = run_config},
    Verb{.name = "doctor",
         .summary = "Check what containers need on this machine",
         .synopsis = "doctor [--json]",
         .description =
             "Looks at the kernel, user namespaces, /dev/fuse, the programs that slipway starts, the "
             "site file, the store, the service, the registries that the site file names, and at "
             "Slurm and the plugin that it loads. Every check passes, warns or fails, and says what "
             "to do. Nothing is changed. The exit status is 1 when a check failed.",
         .options = json_groups,
         .examples = doctor_examples,
         .forms = doctor_forms,
         .see_also = "slipway-config(1) slipway.yaml(5)",
         .run = run_doctor},
    Verb{.name = "help",
         .summary = "Explain a verb",
         .synopsis = "help [OPTIONS] [VERB]",
         .description = "Shows the verbs, or explains one. slipway VERB --help does the same.",
         .options = help_groups,
         .examples = help_examples,
         .forms = help_forms,
         .see_also = "slipway(1)",
         .run = run_help},
    Verb{.name = "version",
         .summary = "Print the version",
         .synopsis = "version [--json]",
         .description = "Prints the version of slipway.",
         .options = json_groups,
         .forms = version_forms,
         .see_also = "slipway(1)",
         .run = run_version},
    Verb{.name = "pull",
         .program = Program::images,
         .summary = "Fetch an image into a file",
         .synopsis = "pull [OPTIONS] [FILE] IMAGE",
         .description =
             "Makes a SIF file from an image of a registry, an OCI layout, an archive or a SIF file "
             "({transports}). An image of a registry is staged first, as slipway stage does it, and "
             "the file is a copy of what is in the store: one that was used before is not fetched "
             "again. With --disable-cache, and from a layout or an archive, it is converted straight "
             "into the file. A SIF file is not "
             "converted: its structure is checked, and it is copied byte by byte, so that its "
             "signatures stay valid. The file appears when "
             "it is whole. When it exists already, you are asked; without a terminal it is an "
             "error unless --force is given.",
         .options = pull_options(),
         .examples = pull_examples,
         .forms = pull_forms,
         .see_also = "slipway-stage(1) slipway-build(1) slipway.yaml(5)",
         .run = images::run_pull},
    Verb{.name = "stage",
         .program = Program::images,
         .summary = "Fetch an image into the store",
         .synopsis = "stage [OPTIONS] IMAGE",
         .description =
             "Makes sure that the image ({transports}) is in the store and prints its reference, "
             "pinned by digest, and its path. Several processes that ask for one image share one "
             "download and one conversion. Your own store is used unless the shared one belongs to "
             "you; what the shared store has is not fetched again. A SIF file is checked and copied "
             "as it is: equal content is one image, whatever the file is called.",
         .options = stage_options(),
         .examples = stage_examples,
         .forms = stage_forms,
         .see_also = "slipway-images(1) slipway-cache(1) slipway.yaml(5)",
         .run = images::run_stage},
    Verb{.name = "build",
         .program = Program::images,
         .summary = "Make an image",
         .synopsis = "build [OPTIONS] FILE IMAGE",
         .description = "Makes a SIF file from an image, as slipway pull does it.",
         .options = build_options(),
         .examples = build_examples,
         .forms = build_forms,
         .see_also = "slipway-pull(1)",
         .run = images::run_build},
    Verb{.name = "images",
         .program = Program::images,
         .summary = "List, pin and remove images in the store",
         .synopsis = "images [list] [--json]\nimages rm [--force] IMAGE…\nimages pin IMAGE…\n"
                     "images unpin IMAGE…",
         .description =
             "Lists what is staged in the shared store and in your own; the column STORE says in "
             "which: site or own. IMAGE is the beginning of an image's id, or its reference. Only "
             "the owner of a store can change it.",
         .options = images_groups,
         .examples = images_examples,
         .forms = images_forms,
         .see_also = "slipway-stage(1) slipway-cache(1)",
         .run = images::run_images},
    Verb{.name = "cache",
         .program = Program::images,
         .summary = "Show and clean the user's own store",
         .synopsis = "cache list [-v]\ncache clean [-f] [-n] [--days N] [--protected]\ncache fsck [--repair]",
         .description =
             "list counts images and bytes. clean removes images, but keeps those that are pinned or "
             "granted to jobs: whoever stages or starts an image has a grant for as long as a job may "
             "last (store.max_job_time of the site file). fsck reads everything and "
             "compares it with the recorded digests; its exit status is 1 when something is wrong.",
         .options = cache_groups,
         .examples = cache_examples,
         .forms = cache_forms,
         .see_also = "slipway-images(1) slipway-stage(1)",
         .run = images::run_cache},
};

} // namespace

std::span<const EnvironmentVariable> environment_variables() {
    return variable_table;
}

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

base::Error unknown_verb(std::string_view word) {
    const auto* absent = std::find_if(absent_table.begin(), absent_table.end(),
                                      [&](const AbsentVerb& verb) { return verb.name == word; });
    if (absent != absent_table.end()) {
        return {base::Code::unsupported, 0,
                fmt::format("the verb {} is not part of this version", base::in_quotes(word)),
                std::string(absent->instead)};
    }
    std::vector<std::string_view> known;
    for (const auto& verb : verb_table) {
        known.push_back(verb.name);
    }
    const auto near = base::did_you_mean(word, known);
    return {base::Code::usage, 0, "unknown verb " + base::in_quotes(word),
            near.empty() ? "slipway help lists the verbs" : fmt::format("did you mean {}?", near)};
}

std::vector<OptionGroup> all_options(const Verb& verb) {
    std::vector<OptionGroup> groups(verb.options.begin(), verb.options.end());
    for (const auto& group : common_groups) {
        const bool reads_site = std::any_of(verb.forms.begin(), verb.forms.end(),
                                            [](const Form& form) { return form.site; });
        if (reads_site || group.options.data() != site_table.data()) {
            groups.push_back(group);
        }
    }
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
