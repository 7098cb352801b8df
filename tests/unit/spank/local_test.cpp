// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/spank/fakes.hpp"

#include <catch2/catch.hpp>

using namespace slipway;
using namespace slipway::spank;
using namespace slipway::spank::test;

namespace {

/// One srun, sbatch or salloc.
struct Submission {
    explicit Submission(std::vector<std::string> words = {}, Context context = Context::local) {
        slurm.where = context;
        for (auto& word : words) {
            arguments.push_back(word.data());
        }
        plugin.configure(arguments);
        kept = std::move(words);
    }
    Submission& with(OptionId id, const char* value) {
        plugin.option(number(id), value);
        return *this;
    }
    /// Exit code of the program, or nothing when it goes on.
    std::optional<int> submit() {
        int result = -1; // not in CHECK: that would catch what ends the program
        const auto code = exit_code_of([&] { result = plugin.init_post_opt(slurm); });
        CHECK((code || result == 0));
        return code;
    }
    Settings carried() {
        const auto text = around.get_env(carrier_variable);
        REQUIRE(text);
        auto settings = decode_settings(*text);
        REQUIRE(settings);
        return *settings;
    }
    std::string handed_on(const std::string& name) {
        const auto found = slurm.control.find(slurm_option_variable(name));
        return found == slurm.control.end() ? "(nothing)" : found->second;
    }

    std::vector<std::string> kept;
    std::vector<char*> arguments;
    FakeSlurm slurm;
    FakeSurroundings around;
    Plugin plugin{around};
};

bool mentions(const std::vector<std::string>& lines, const std::string& text) {
    return std::any_of(lines.begin(), lines.end(),
                       [&](const auto& line) { return line.find(text) != std::string::npos; });
}

} // namespace

TEST_CASE("a job without a container is left alone", "[spank]") {
    Submission one;
    one.around.env[carrier_variable] = "left over";
    CHECK_FALSE(one.submit());
    CHECK(one.around.reported.empty());
    CHECK(one.slurm.control.empty());
    CHECK(one.around.env.empty());
    CHECK(one.around.staged.empty());
}

TEST_CASE("paths become absolute where srun is called", "[spank]") {
    const auto [typed, path] = GENERATE(table<const char*, const char*>({
        {"/images/a.sif", "/images/a.sif"},
        {"./a.sif", "/home/u/a.sif"},
        {".//a.sif", "/home/u/a.sif"},
        {"../b/a.sif", "/home/u/../b/a.sif"},
        {"here.sif", "/home/u/here.sif"},
    }));
    CAPTURE(typed);
    Submission one;
    one.around.files = {"here.sif"};
    one.with(OptionId::image, typed);
    CHECK_FALSE(one.submit());
    CHECK(one.around.staged.empty());
    CHECK(one.carried().path == path);
    CHECK(one.handed_on("container-image") == path);
    CHECK(one.around.env[slurm_option_variable("container-image")] == path);
}

TEST_CASE("a relative path without a directory is an error", "[spank]") {
    Submission one;
    one.around.cwd.clear();
    one.with(OptionId::image, "./a.sif");
    CHECK(one.submit() == 1);
    CHECK(mentions(one.around.reported, "image-not-found"));
}

TEST_CASE("a path that grows too long is refused", "[spank]") {
    Submission one;
    one.around.cwd = "/" + std::string(200, 'd');
    one.with(OptionId::image, ("./" + std::string(4000, 'a')).c_str());
    CHECK(one.submit() == 1);
    CHECK(mentions(one.around.reported, "option-too-long"));
}

TEST_CASE("a reference is staged, and what was staged is handed on", "[spank]") {
    Submission one;
    one.around.staging = Staged{std::string(64, 'e'), "/store", "docker://debian@sha256:12"};
    one.with(OptionId::image, "docker://debian");
    CHECK_FALSE(one.submit());
    CHECK(one.around.staged == std::vector<std::string>{"docker://debian"});
    CHECK(one.carried().image_id == std::string(64, 'e'));
    CHECK(one.carried().image_store == "/store");
    CHECK(one.carried().path.empty());
    CHECK(one.carried().image == "docker://debian@sha256:12");
    CHECK(one.handed_on("container-image") == "docker://debian@sha256:12");
}

TEST_CASE("an image of the site's store is handed on by its id, and by no path", "[spank]") {
    Submission one;
    const std::string id(64, 'd');
    one.around.staging = Staged{id, "", "docker://debian:12@sha256:12"};
    one.with(OptionId::image, "docker://debian:12");
    CHECK_FALSE(one.submit());
    CHECK(one.carried().image_id == id);
    CHECK(one.carried().path.empty());
    CHECK(one.handed_on("container-image") == "docker://debian:12@sha256:12");
}

TEST_CASE("mounts become absolute where srun is called", "[spank]") {
    Submission one;
    one.with(OptionId::image, "/a").with(OptionId::mounts, "./d,../e:/f:ro,/g:/h");
    CHECK_FALSE(one.submit());
    const auto* const absolute = "/home/u/./d:/home/u/d,/home/u/../e:/f:ro,/g:/h";
    CHECK(one.carried().mounts == absolute);
    CHECK(one.handed_on("container-mounts") == absolute);

    Submission nowhere;
    nowhere.around.cwd.clear();
    nowhere.with(OptionId::image, "/a").with(OptionId::mounts, "./d:/d");
    CHECK(nowhere.submit() == 1);
    CHECK(mentions(nowhere.around.reported, "mount-invalid: --container-mounts"));

    Submission grown;
    grown.around.cwd = "/" + std::string(200, 'd');
    grown.with(OptionId::image, "/a")
        .with(OptionId::mounts,
              ("./" + std::string(1500, 'a') + ",./" + std::string(1500, 'b')).c_str());
    CHECK(grown.submit() == 1);
    CHECK(mentions(grown.around.reported, "option-too-long"));
}

TEST_CASE("options that contradict each other are refused, but not what a job hands down",
          "[spank]") {
    const auto context = GENERATE(Context::local, Context::allocator);
    const auto [first, second] =
        GENERATE(table<OptionId, OptionId>({{OptionId::readonly, OptionId::writable},
                                            {OptionId::mount_home, OptionId::no_mount_home}}));
    Submission typed({}, context);
    typed.with(OptionId::image, "/a").with(first, "on").with(second, nullptr);
    CHECK(typed.submit() == 1);
    CHECK(mentions(typed.around.reported, "option-conflict"));

    Submission inherited({}, context);
    inherited.around.env[inherited_variable(row_of(first).name)] = "on";
    inherited.with(OptionId::image, "/a").with(first, "on").with(second, nullptr);
    CHECK_FALSE(inherited.submit());

    Submission taken_back({}, context);
    taken_back.with(OptionId::image, "/a").with(first, "off").with(second, "on");
    CHECK_FALSE(taken_back.submit());
}

TEST_CASE("no credentials go to the nodes", "[spank]") {
    const auto submit = [](Context context) {
        Submission one({}, context);
        one.around.env = {{"SLIPWAY_DOCKER_USERNAME", "u"},
                          {"SLIPWAY_DOCKER_PASSWORD", "p"},
                          {"SINGULARITY_DOCKER_USERNAME", "u"},
                          {"SINGULARITY_DOCKER_PASSWORD", "p"},
                          {"APPTAINER_DOCKER_USERNAME", "u"},
                          {"APPTAINER_DOCKER_PASSWORD", "p"},
                          {"DOCKER_USERNAME", "u"},
                          {"DOCKER_PASSWORD", "p"},
                          {"REGISTRY_AUTH_FILE", "/f"}};
        one.with(OptionId::image, "/a");
        CHECK_FALSE(one.submit());
        CHECK(one.around.get_env("REGISTRY_AUTH_FILE")); // a path
        return std::count_if(one.around.env.begin(), one.around.env.end(), [](const auto& entry) {
            return entry.first.find("DOCKER_") != std::string::npos;
        });
    };
    CHECK(submit(Context::local) == 0);
    CHECK(submit(Context::allocator) == 8); // its sruns may stage more
}

TEST_CASE("sbatch begins the staging and goes on, unless its script needs the image", "[spank]") {
    const auto how = [](bool sbatch, const char* batch) {
        Submission one({}, Context::allocator);
        one.around.is_sbatch = sbatch;
        one.around.staging = Staged{std::string(64, 'e'), "/store", "docker://debian@sha256:12"};
        one.with(OptionId::image, "docker://debian");
        if (batch != nullptr) {
            one.with(OptionId::batch, batch);
        }
        CHECK_FALSE(one.submit());
        return one.around.staged_how;
    };
    CHECK(how(false, nullptr) == Staging::wait);
    CHECK(how(true, nullptr) == Staging::begin);
    CHECK(how(true, "on") == Staging::wait);
    CHECK(how(true, "off") == Staging::begin);
}

TEST_CASE("only sbatch moves its script into the container", "[spank]") {
    const auto submit = [](Context context, bool sbatch, const char* variable) {
        Submission one({}, context);
        one.around.is_sbatch = sbatch;
        one.with(OptionId::image, "/images/a.sif");
        if (variable != nullptr) {
            one.around.env[variable] = "on";
        } else {
            one.with(OptionId::batch, "on");
        }
        return one.submit();
    };
    CHECK_FALSE(submit(Context::allocator, true, nullptr));
    CHECK(submit(Context::allocator, false, nullptr) == 1); // salloc runs its command here
    CHECK(submit(Context::allocator, false, "SLIPWAY_CONTAINER_BATCH") == 1);
    CHECK(submit(Context::local, false, nullptr) == 1);
    CHECK_FALSE(submit(Context::local, false, "SLIPWAY_CONTAINER_BATCH")); // a default for sbatch
}

TEST_CASE("a failed staging ends the submission", "[spank]") {
    Submission one;
    one.with(OptionId::image, "docker://debian");
    CHECK(one.submit() == 1);
    CHECK(one.around.reported ==
          std::vector<std::string>{"error: not-staged: no client (hint: use a path)"});
    CHECK(one.slurm.control.empty());
    Submission silent;
    silent.around.staging = base::fail(base::Code::not_staged, "");
    silent.with(OptionId::image, "docker://debian");
    CHECK(silent.submit() == 1);
    CHECK(silent.around.reported.empty()); // the client has spoken
    Submission interrupted;
    interrupted.around.staging = base::fail(base::Code::interrupted, "interrupted while …");
    interrupted.with(OptionId::image, "docker://debian");
    CHECK(interrupted.submit() == 1);
    CHECK(interrupted.around.reported == std::vector<std::string>{"interrupted while …"});
}

TEST_CASE("SLURM_EXIT_ERROR is honoured as Slurm does", "[spank]") {
    Submission one;
    one.around.env["SLURM_EXIT_ERROR"] = "77";
    one.with(OptionId::image, "");
    CHECK(one.submit() == 77);
}

TEST_CASE("one clear line for every bad option, and nothing submitted", "[spank]") {
    Submission one;
    one.with(OptionId::image, "/a.sif").with(OptionId::workdir, "relative");
    CHECK(one.submit() == 1);
    REQUIRE(one.around.reported.size() == 1);
    CHECK(one.around.reported[0].starts_with("error: option-invalid: --container-workdir"));
    CHECK(one.around.reported[0].find("(hint: ") != std::string::npos);
    CHECK_FALSE(one.around.get_env(carrier_variable));
}

TEST_CASE("variables count where the command line is silent", "[spank]") {
    Submission one;
    one.around.env = {
        {"SLIPWAY_CONTAINER_IMAGE", "/ours.sif"}, {"PYXIS_CONTAINER_IMAGE", "/pyxis.sif"},
        {"PYXIS_CONTAINER_WORKDIR", "/w"},        {"SLIPWAY_CONTAINER_MOUNTS", ""},
        {"PYXIS_CONTAINER_MOUNTS", "/a:/b"},      {"PYXIS_CONTAINER_WRITABLE", "true"},
        {"SLIPWAY_CONTAINER_MOUNT_HOME", "0"},    {"SLIPWAY_CONTAINER_ENV", "A,B"},
        {"SLIPWAY_CONTAINER_BATCH", "1"}};
    one.with(OptionId::workdir, "/typed");
    CHECK_FALSE(one.submit());
    const auto settings = one.carried();
    CHECK(settings.path == "/ours.sif");
    CHECK(settings.workdir == "/typed");
    CHECK(settings.mounts == "/a:/b");
    CHECK(settings.writable == Switch::on);
    CHECK(settings.mount_home == Switch::off);
    CHECK(settings.batch == Switch::on);
    CHECK(settings.environment == std::vector<std::string>{"A", "B"});
    CHECK(one.handed_on("container-writable") == "on");
}

TEST_CASE("an option wins over the variable of its opposite", "[spank]") {
    Submission one;
    one.around.env = {{"SLIPWAY_CONTAINER_MOUNT_HOME", "1"}, {"SLIPWAY_CONTAINER_WRITABLE", "1"}};
    one.with(OptionId::image, "/a").with(OptionId::no_mount_home, nullptr);
    one.with(OptionId::readonly, nullptr);
    CHECK_FALSE(one.submit());
    CHECK(one.carried().mount_home == Switch::off);
    CHECK(one.carried().writable == Switch::off);
}

TEST_CASE("a bad variable is an error only where there is a container", "[spank]") {
    Submission without;
    without.around.env["SLIPWAY_CONTAINER_WORKDIR"] = "relative";
    CHECK_FALSE(without.submit());
    Submission with;
    with.around.env["SLIPWAY_CONTAINER_WORKDIR"] = "relative";
    with.with(OptionId::image, "/a");
    CHECK(with.submit() == 1);
}

TEST_CASE("beside pyxis its variables are not ours, and options carry the prefix", "[spank]") {
    std::string word = "option_prefix=pilot-";
    Submission one({word});
    one.around.env["PYXIS_CONTAINER_IMAGE"] = "/pyxis.sif";
    CHECK_FALSE(one.submit());
    CHECK_FALSE(one.around.get_env(carrier_variable));
    Submission other({word});
    other.with(OptionId::image, "/a");
    CHECK_FALSE(other.submit());
    CHECK(other.handed_on("pilot-container-image") == "/a");
    CHECK(other.handed_on("container-image") == "(nothing)");
}

TEST_CASE("the later of two opposites is the only one handed on", "[spank]") {
    Submission one;
    one.slurm.control[slurm_option_variable("no-container-mount-home")] = "on"; // as Slurm did it
    one.around.env[inherited_variable("no-container-mount-home")] = "on";
    one.with(OptionId::image, "/a").with(OptionId::no_mount_home, "on");
    one.with(OptionId::mount_home, "on");
    CHECK_FALSE(one.submit());
    CHECK(one.handed_on("container-mount-home") == "on");
    CHECK(one.handed_on("no-container-mount-home") == "(nothing)");
}

TEST_CASE("none takes a step out of the job's container", "[spank]") {
    Submission one;
    one.around.env["SLIPWAY_CONTAINER_IMAGE"] = "/job.sif";
    one.with(OptionId::image, "/inherited.sif").with(OptionId::image, "none");
    CHECK_FALSE(one.submit());
    CHECK(one.around.get_env(carrier_variable) == carrier_no_container);
}

TEST_CASE("a container option without an image is a mistake in srun", "[spank]") {
    Submission typed;
    typed.with(OptionId::mounts, "/a:/b");
    CHECK(typed.submit() == 1);
    CHECK(mentions(typed.around.reported, "--container-mounts is given without an image"));

    Submission inherited;
    inherited.around.env["SLURM_SPANK_" + slurm_option_variable("container-mounts")] = "/a:/b";
    inherited.with(OptionId::mounts, "/a:/b");
    CHECK_FALSE(inherited.submit());
    CHECK(inherited.around.get_env(carrier_variable) == carrier_no_container);

    Submission variable;
    variable.around.env["PYXIS_CONTAINER_MOUNTS"] = "/a:/b";
    CHECK_FALSE(variable.submit());
    CHECK_FALSE(variable.around.get_env(carrier_variable));

    Submission by_hand; // behind the back of srun, which does not call the plugin for it
    by_hand.around.env[slurm_option_variable("container-mounts")] = "/a:/b";
    CHECK(by_hand.submit() == 1);
    CHECK(mentions(by_hand.around.reported, "option-conflict: the variable "));

    Submission salloc; // exports both forms
    salloc.around.env[slurm_option_variable("container-mounts")] = "/a:/b";
    salloc.around.env[inherited_variable("container-mounts")] = "/a:/b";
    salloc.with(OptionId::mounts, "/a:/b");
    CHECK_FALSE(salloc.submit());

    Submission image_by_hand; // the node checks it
    image_by_hand.around.env[slurm_option_variable("container-mounts")] = "/a:/b";
    image_by_hand.around.env[slurm_option_variable("container-image")] = "/a";
    CHECK_FALSE(image_by_hand.submit());
    CHECK_FALSE(image_by_hand.around.get_env(carrier_variable));

    Submission script({}, Context::allocator); // asks for its own script to run in no image
    script.with(OptionId::batch, "on");
    CHECK(script.submit() == 1);
    CHECK(mentions(script.around.reported, "--container-batch is given without an image"));

    Submission batch({}, Context::allocator); // the sruns inside may name images
    batch.with(OptionId::mounts, "/a:/b");
    CHECK_FALSE(batch.submit());
}

TEST_CASE("an option beside the image none is a mistake in srun", "[spank]") {
    Submission typed;
    typed.with(OptionId::image, "none").with(OptionId::mounts, "/a:/b");
    CHECK(typed.submit() == 1);
    CHECK(mentions(typed.around.reported,
                   "option-conflict: --container-mounts has no effect with --container-image=none"));

    Submission by_variable;
    by_variable.around.env["SLIPWAY_CONTAINER_IMAGE"] = "none";
    by_variable.with(OptionId::writable, nullptr);
    CHECK(by_variable.submit() == 1);
    CHECK(mentions(by_variable.around.reported,
                   "--container-writable has no effect with SLIPWAY_CONTAINER_IMAGE=none"));

    Submission inherited; // the job's container, which this srun does without
    inherited.around.env[inherited_variable("container-mounts")] = "/a:/b";
    inherited.with(OptionId::mounts, "/a:/b").with(OptionId::image, "none");
    CHECK_FALSE(inherited.submit());

    Submission both; // a variable is a default, and what was typed counts all the same
    both.around.env["SLIPWAY_CONTAINER_MOUNTS"] = "/c:/d";
    both.with(OptionId::mounts, "/a:/b");
    CHECK(both.submit() == 1);

    Submission default_only;
    default_only.around.env["SLIPWAY_CONTAINER_MOUNTS"] = "/c:/d";
    default_only.with(OptionId::image, "none");
    CHECK_FALSE(default_only.submit());
}

TEST_CASE("what was typed is checked without an image, too", "[spank]") {
    const auto context = GENERATE(Context::local, Context::allocator);
    Submission one({}, context);
    one.with(OptionId::mounts, "/x:relative");
    CHECK(one.submit() == 1);
    CHECK(mentions(one.around.reported, "mount-target-invalid: --container-mounts: mount '/x:relative': "));
    Submission default_only({}, context); // of a profile, perhaps, and of no concern here
    default_only.around.env["SLIPWAY_CONTAINER_MOUNTS"] = "/x:relative";
    CHECK_FALSE(default_only.submit());
}

TEST_CASE("errors name the option or the variable that was really used", "[spank]") {
    const auto said = [](const std::map<std::string, std::string>& variables,
                         const std::vector<std::pair<OptionId, const char*>>& typed,
                         const std::string& prefix = {}, Context context = Context::local) {
        Submission one(prefix.empty() ? std::vector<std::string>()
                                      : std::vector<std::string>{"option_prefix=" + prefix},
                       context);
        one.around.env = variables;
        one.with(OptionId::image, "/a");
        for (const auto& [id, value] : typed) {
            one.with(id, value);
        }
        CHECK(one.submit() == 1);
        return one.around.reported.empty() ? "nothing" : one.around.reported.front();
    };
    const auto starts = [](const std::string& line, const std::string& text) {
        CHECK_THAT(line, Catch::StartsWith("error: " + text));
    };
    starts(said({{"SLIPWAY_CONTAINER_WRITABLE", "perhaps"}}, {}),
           "option-invalid: SLIPWAY_CONTAINER_WRITABLE='perhaps': neither on nor off");
    starts(said({{"PYXIS_CONTAINER_MOUNTS", "/a:b"}}, {}),
           "mount-target-invalid: PYXIS_CONTAINER_MOUNTS: mount '/a:b': ");
    starts(said({{"PYXIS_CONTAINER_WORKDIR", std::string(5000, 'w')}}, {}),
           "option-too-long: the value of PYXIS_CONTAINER_WORKDIR is 5000 bytes long");
    starts(said({}, {{OptionId::writable, "perhaps"}}, "pilot-"),
           "option-invalid: --pilot-container-writable='perhaps': neither on nor off");
    starts(said({{"SLIPWAY_CONTAINER_WRITABLE", "1"}, {"SLIPWAY_CONTAINER_READONLY", "1"}}, {}),
           "option-conflict: SLIPWAY_CONTAINER_WRITABLE and SLIPWAY_CONTAINER_READONLY contradict "
           "each other (hint: give one of them, or switch one off: ");
    starts(said({{"SLIPWAY_CONTAINER_BATCH", "1"}}, {}, "", Context::allocator),
           "option-conflict: SLIPWAY_CONTAINER_BATCH is for batch scripts");
    Submission fallen_back; // an option wins, and with it goes the variable's fault
    fallen_back.around.env["SLIPWAY_CONTAINER_WRITABLE"] = "perhaps";
    fallen_back.with(OptionId::image, "/a").with(OptionId::writable, "on");
    CHECK_FALSE(fallen_back.submit());
}

TEST_CASE("components of a heterogeneous job must agree", "[spank]") {
    Submission same;
    same.with(OptionId::image, "/a");
    CHECK_FALSE(same.submit());
    CHECK_FALSE(same.submit());
    Submission differ;
    differ.with(OptionId::image, "/a");
    CHECK_FALSE(differ.submit());
    differ.with(OptionId::image, "/b");
    CHECK(differ.submit() == 1);
    CHECK(mentions(differ.around.reported, "option-conflict"));
    Submission second_only;
    CHECK_FALSE(second_only.submit());
    second_only.with(OptionId::image, "/b");
    CHECK(second_only.submit() == 1);
}

TEST_CASE("a component without a container must agree with the later ones, too", "[spank]") {
    Submission one;
    one.plugin.plain_component();
    one.with(OptionId::image, "/a");
    CHECK(one.submit() == 1);
    CHECK(mentions(one.around.reported, "option-conflict"));
}

TEST_CASE("one reference is staged once for all components", "[spank]") {
    Submission one({}, Context::allocator);
    one.around.staging = Staged{std::string(64, 'e'), "/store", "docker://d@sha256:1"};
    one.with(OptionId::image, "docker://d");
    CHECK_FALSE(one.submit());
    CHECK_FALSE(one.submit());
    CHECK(one.around.staged.size() == 1);
}

TEST_CASE("a mistake in plugstack.conf stops containers, not jobs", "[spank]") {
    std::string word = "confg=/etc/x";
    Submission plain({word});
    CHECK_FALSE(plain.submit());
    Submission container({word});
    container.with(OptionId::image, "/a");
    CHECK(container.submit() == 1);
    CHECK(mentions(container.around.reported, "plugin-misconfigured"));
}

TEST_CASE("numbers that are no option are ignored", "[spank]") {
    Submission one;
    one.plugin.option(-1, "x");
    one.plugin.option(1000, "x");
    CHECK_FALSE(one.submit());
}
