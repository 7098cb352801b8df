// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/spank/fakes.hpp"

#include <catch2/catch.hpp>

using namespace slipway;
using namespace slipway::spank;
using namespace slipway::spank::test;

namespace {

std::string carrier(const std::string& path = "/images/a.sif") {
    Settings settings;
    settings.image = "docker://debian@sha256:1";
    settings.path = path;
    return encode_settings(settings);
}

/// One step on one node: slurmstepd, then its tasks (all in this process).
struct Node {
    explicit Node(std::uint32_t step = 0) {
        slurm.where = Context::remote;
        slurm.step = step;
    }
    Node& carried(const std::string& text) {
        slurm.job_env[carrier_variable] = text;
        return *this;
    }
    Node& with(OptionId id, const char* value) {
        plugin.option(number(id), value);
        return *this;
    }
    void begin(std::vector<char*> arguments = {}) {
        plugin.configure(arguments);
        CHECK(plugin.init_post_opt(slurm) == 0);
        around.cwd = "/work";
        CHECK(plugin.user_init() == 0);
        around.cwd = "/";
    }
    /// Exit code with which the plugin ends the task, or nothing when the command runs.
    std::optional<int> task() {
        CHECK(plugin.task_init_privileged(slurm) == 0);
        int result = -1; // not in CHECK: that would catch what ends the task
        const auto code = exit_code_of([&] { result = plugin.task_init(slurm); });
        CHECK((code || result == 0));
        return code;
    }
    [[nodiscard]] bool reported(const std::string& text) const {
        return std::any_of(around.reported.begin(), around.reported.end(),
                           [&](const auto& line) { return line.find(text) != std::string::npos; });
    }

    FakeSlurm slurm;
    FakeSurroundings around;
    Plugin plugin{around};
};

} // namespace

TEST_CASE("a step without a container costs nothing and starts nothing", "[spank]") {
    Node node;
    node.slurm.job_env["PATH"] = "/bin";
    node.begin();
    CHECK_FALSE(node.task());
    CHECK(node.around.starts.empty());
    CHECK(node.around.entered == 0);
    CHECK(node.plugin.exit(node.slurm) == 0);
    CHECK(node.around.stopped.empty());
}

TEST_CASE("the carrier makes the container", "[spank]") {
    Node node;
    Settings settings;
    settings.image = "docker://debian@sha256:1";
    settings.path = "/images/a.sif";
    settings.mounts = "/a:/b,/c:/d";
    settings.workdir = "/w";
    settings.environment = {"A"};
    settings.mount_home = Switch::off;
    settings.writable = Switch::on;
    node.carried(encode_settings(settings));
    node.slurm.job_env["HOME"] = "/home/u";
    node.begin();
    node.around.programs["/bin/true"] = 0;
    node.around.changes = {{"PATH", "/usr/bin"}, {"HOME", std::nullopt}};
    CHECK_FALSE(node.task());
    REQUIRE(node.around.starts.size() == 1);
    const auto& request = node.around.starts[0];
    CHECK(request.image == "/images/a.sif");
    CHECK(request.reference == "docker://debian@sha256:1");
    REQUIRE(request.mounts.size() == 1);
    CHECK(request.mounts[0].syntax == launcher::join::MountSyntax::pyxis);
    CHECK(request.mounts[0].text == "/a:/b,/c:/d");
    CHECK(request.workdir == "/w");
    CHECK(request.cwd == "/work"); // where user_init was, not where a job container puts tasks
    CHECK(request.keep_environment == std::vector<std::string>{"A"});
    CHECK(request.mount_home == Switch::off);
    CHECK(request.writable == Switch::on);
    CHECK(request.environment == std::vector<std::string>{"HOME=/home/u"}); // and no carrier
    CHECK(request.required_files.empty());
    CHECK(request.job_id == 42);
    const auto& facts = node.around.facts[0];
    CHECK(facts.uid == 1000);
    CHECK(facts.gid == 1000);
    CHECK(facts.groups == std::vector<gid_t>{1000, 27});
    CHECK(facts.launcher_path == "/usr/libexec/slipway/slipway-launch");
    CHECK(facts.config_path.empty());
    CHECK(node.around.entered == 1);
    CHECK(node.slurm.job_env == std::map<std::string, std::string>{{"PATH", "/usr/bin"}});
    CHECK(node.around.reported.empty());
}

TEST_CASE("an image of the site's store goes to the launcher by its id alone", "[spank]") {
    Node node;
    const std::string id(64, '1');
    Settings settings;
    settings.image = "docker://debian:12@sha256:1";
    settings.image_id = id;
    node.carried(encode_settings(settings));
    node.begin();
    CHECK_FALSE(node.task());
    CHECK(node.around.starts.at(0).image_id == id);
    CHECK(node.around.starts.at(0).image.empty());
}

TEST_CASE("what cannot be found out counts as a container that was asked for", "[spank]") {
    Node blind;
    blind.slurm.environment_unreadable = true;
    blind.begin();
    CHECK(blind.task() == 1);
    CHECK(blind.reported("job's environment"));

    Node later; // readable in slurmstepd, not in the task
    later.carried(carrier());
    later.begin();
    later.slurm.environment_unreadable = true;
    CHECK(later.task() == 1);
    CHECK(later.reported("task's environment"));

    Node stepless;
    stepless.slurm.step.reset();
    stepless.carried(carrier());
    stepless.begin();
    CHECK(stepless.task() == 1);
    CHECK(stepless.reported("which step"));

    Node plain; // with nothing that asks for a container, the step does not matter
    plain.slurm.step.reset();
    plain.begin();
    CHECK_FALSE(plain.task());

    Node unknown;
    unknown.slurm.where = Context::error;
    unknown.carried("rubbish");
    unknown.begin();
    CHECK(unknown.task() == 1);
}

TEST_CASE("options without an image that no srun has seen end the task", "[spank]") {
    Node by_hand;
    by_hand.with(OptionId::mounts, "/a:/b");
    by_hand.begin();
    CHECK(by_hand.task() == 1);
    CHECK(by_hand.task() == 1);
    CHECK(by_hand.around.reported.size() == 1);
    CHECK(by_hand.reported("option-conflict"));

    Node seen; // srun has found that there is no container
    seen.with(OptionId::mounts, "/a:/b").carried(carrier_no_container);
    seen.begin();
    CHECK_FALSE(seen.task());
    CHECK(seen.around.starts.empty());
    CHECK(seen.slurm.job_env.empty());

    Node none;
    none.with(OptionId::mounts, "/a:/b").with(OptionId::image, "none");
    none.begin();
    CHECK_FALSE(none.task());

    Node script(batch_step); // stays on the host anyway
    script.with(OptionId::mounts, "/a:/b");
    script.begin();
    CHECK_FALSE(script.task());

    Node inside(batch_step);
    inside.with(OptionId::mounts, "/a:/b").with(OptionId::batch, "on");
    inside.begin();
    CHECK(inside.task() == 1);
}

TEST_CASE("the first task starts, the others join, the last one to end stops", "[spank]") {
    Node node;
    node.carried(carrier());
    node.begin();
    node.around.programs["/bin/true"] = 0;
    for (int i = 0; i < 4; ++i) {
        CHECK_FALSE(node.task());
    }
    CHECK(node.around.starts.size() == 1);
    CHECK(node.around.joins == 3);
    CHECK(node.around.entered == 4);
    for (int i = 0; i < 3; ++i) {
        CHECK(node.plugin.task_exit(node.slurm) == 0);
    }
    CHECK(node.around.stopped.empty()); // one task still uses the image
    CHECK(node.plugin.task_exit(node.slurm) == 0);
    CHECK(node.around.stopped == std::vector<pid_t>{4711});
    CHECK(node.plugin.exit(node.slurm) == 0);
    CHECK(node.around.stopped.size() == 1);
}

TEST_CASE("a step that ends half-way stops its launcher all the same", "[spank]") {
    Node node;
    node.carried(carrier());
    node.begin();
    CHECK_FALSE(node.task());
    CHECK(node.plugin.task_exit(node.slurm) == 0);
    CHECK(node.around.stopped.empty());
    CHECK(node.plugin.exit(node.slurm) == 0);
    CHECK(node.around.stopped == std::vector<pid_t>{4711});
}

TEST_CASE("nothing of ours stays in the environment of tasks", "[spank]") {
    Node node;
    node.slurm.job_env = {{"_SLURM_SPANK_OPTION_slipway_container_writable", ""},
                          {"_SLURM_SPANK_OPTION_pyxis_container_writable", ""},
                          {"SLURM_SPANK__SLURM_SPANK_OPTION_slipway_container_image", "/a"},
                          {carrier_variable, carrier()}};
    node.begin();
    CHECK(node.slurm.job_env.count(carrier_variable) == 0);
    CHECK(node.slurm.job_env.count("_SLURM_SPANK_OPTION_slipway_container_writable") == 0);
    CHECK(node.slurm.job_env.count("_SLURM_SPANK_OPTION_pyxis_container_writable") == 1);
    CHECK(node.slurm.job_env.count("SLURM_SPANK__SLURM_SPANK_OPTION_slipway_container_image") == 1);
}

TEST_CASE("whatever fails on the node, no callback says so and no command runs", "[spank]") {
    Node node;
    const auto what = GENERATE(range(0, 11));
    CAPTURE(what);
    std::string expected;
    std::vector<char*> arguments;
    std::string mistake = "confg=/x";
    if (what == 0) {
        node.carried("path=relative;container-image=x");
        expected = "option-invalid";
    } else if (what == 1) {
        node.carried("rubbish");
        expected = "option-invalid";
    } else if (what == 2) { // set by hand, so no srun has checked it
        node.with(OptionId::image, "docker://not-resolved");
        expected = "option-invalid";
    } else if (what == 3) {
        node.with(OptionId::image, "");
        expected = "option-invalid";
    } else if (what == 4) {
        node.with(OptionId::image, ("/" + std::string(1 << 20, 'x')).c_str());
        expected = "option-too-long";
    } else if (what == 5) {
        node.with(OptionId::image, "/a").with(OptionId::mounts, "::");
        expected = "mount-invalid";
    } else if (what == 6) {
        node.carried(carrier());
        arguments.push_back(mistake.data());
        expected = "plugin-misconfigured";
    } else if (what == 7) {
        node.carried(carrier());
        node.around.launcher_missing =
            base::Error{base::Code::plugin_misconfigured, 2, "no launcher", "install it"};
        expected = "no launcher";
    } else if (what == 8) {
        node.carried(carrier());
        node.slurm.user.reset();
        expected = "whose job";
    } else if (what == 9) {
        node.carried(carrier());
        node.around.start_error = base::Error{base::Code::image_not_found, 2, "no image", "look"};
        expected = "image-not-found: no image (hint: look)";
    } else {
        node.carried(carrier());
        node.around.enter_error = base::Error{base::Code::workdir_missing, 2, "no dir", "make it"};
        expected = "workdir-missing";
    }
    node.begin(arguments);
    CHECK(node.task() == 1);
    CHECK(node.around.entered == 0);
    REQUIRE(node.around.reported.size() == 1);
    CHECK(node.reported(expected));
    CHECK(node.reported("error: "));
    CHECK(node.slurm.logged.size() == 1);
}

TEST_CASE("a failed start is reported once, and no task tries again", "[spank]") {
    Node node;
    node.carried(carrier());
    node.around.start_error = base::Error{base::Code::image_corrupt, 0, "bad", "hint"};
    node.begin();
    for (int i = 0; i < 3; ++i) {
        CHECK(node.task() == 1);
    }
    CHECK(node.around.starts.size() == 1);
    CHECK(node.around.reported.size() == 1);
}

TEST_CASE("a task whose privileged half never ran does not run on the host", "[spank]") {
    Node node;
    node.carried(carrier());
    node.begin();
    CHECK(exit_code_of([&] { node.plugin.task_init(node.slurm); }) == 1);
    CHECK(node.reported("internal"));
}

TEST_CASE("a variable that cannot be set ends the task", "[spank]") {
    Node node;
    node.carried(carrier());
    node.begin();
    node.around.changes = {{"PATH", "/usr/bin"}};
    node.slurm.refuses_variables = true;
    CHECK(node.task() == 1);
    CHECK(node.reported("PATH"));
}

TEST_CASE("an exception ends the task, not the rule", "[spank]") {
    Node node;
    node.carried(carrier());
    node.begin();
    node.plugin.remember({base::Code::internal, 0, "in the plugin: bad_alloc", ""});
    CHECK(node.task() == 1);
    CHECK(node.reported("bad_alloc"));
}

TEST_CASE("an absolute path set by hand is accepted: it is opened as the user", "[spank]") {
    Node node;
    node.with(OptionId::image, "/a.sif").with(OptionId::image, "/a.sif"); // 22.05 calls twice
    node.begin();
    node.around.programs["/bin/true"] = 0;
    CHECK_FALSE(node.task());
    CHECK(node.around.starts.at(0).image == "/a.sif");
}

TEST_CASE("the extern step is left alone", "[spank]") {
    Node node(extern_step);
    node.carried(carrier());
    node.begin();
    CHECK_FALSE(node.task());
    CHECK(node.around.starts.empty());
}

TEST_CASE("batch script and salloc's shell stay outside unless wanted inside", "[spank]") {
    const auto step = GENERATE(batch_step, interactive_step);
    Settings settings;
    settings.image = settings.path = "/a.sif";
    Node standard(step);
    standard.carried(encode_settings(settings));
    standard.begin();
    CHECK_FALSE(standard.task());
    CHECK(standard.around.starts.empty());

    settings.batch = Switch::on;
    Node wanted(step);
    wanted.slurm.argv = {"/spool/job42/slurm_script"};
    wanted.around.programs["/spool/job42/slurm_script"] = 0;
    wanted.carried(encode_settings(settings));
    wanted.begin();
    CHECK_FALSE(wanted.task());
    REQUIRE(wanted.around.starts.size() == 1);
    CHECK(wanted.around.starts[0].required_files.size() == (step == batch_step ? 1 : 0));

    Node site(step);
    site.slurm.argv = {"/spool/job42/slurm_script"};
    settings.batch = Switch::site_default;
    site.carried(encode_settings(settings));
    std::string word = "batch=container";
    site.begin({word.data()});
    CHECK_FALSE(site.task());
    CHECK(site.around.starts.size() == 1);

    settings.batch = Switch::off;
    Node refused(step);
    refused.carried(encode_settings(settings));
    refused.begin({word.data()});
    CHECK_FALSE(refused.task());
    CHECK(refused.around.starts.empty());
}

TEST_CASE("a batch step that lost its variables finds what sruns inherit", "[spank]") {
    Node node(batch_step);
    node.slurm.job_env = {{"SLURM_SPANK__SLURM_SPANK_OPTION_slipway_container_image", "/a.sif"},
                          {"SLURM_SPANK__SLURM_SPANK_OPTION_slipway_container_batch", "(null)"}};
    node.slurm.argv = {"/spool/slurm_script"};
    node.begin();
    CHECK_FALSE(node.task());
    CHECK(node.around.starts.size() == 1);
    Node step(0); // an srun has its own carrier, or no container
    step.slurm.job_env = node.slurm.job_env;
    step.begin();
    CHECK_FALSE(step.task());
    CHECK(step.around.starts.empty());
}

TEST_CASE("a batch script without a path is not run on the host instead", "[spank]") {
    Settings settings;
    settings.image = settings.path = "/a.sif";
    settings.batch = Switch::on;
    Node node(batch_step);
    node.carried(encode_settings(settings));
    node.slurm.argv.clear();
    node.begin();
    CHECK(node.task() == 1);
}

TEST_CASE("warnings of the launcher reach the user before the command", "[spank]") {
    Node node;
    node.carried(carrier());
    node.around.start_warnings = {"a mount was skipped"};
    node.around.programs["/bin/true"] = 0;
    node.begin();
    CHECK_FALSE(node.task());
    CHECK(node.around.reported == std::vector<std::string>{"warning: a mount was skipped"});
}

TEST_CASE("a missing command is explained, once, and left to Slurm", "[spank]") {
    Node node;
    node.carried(carrier());
    node.slurm.argv = {"nosuch", "arg"};
    node.around.changes = {{"PATH", "/usr/bin:/bin"}};
    node.begin();
    CHECK_FALSE(node.task());
    CHECK_FALSE(node.task());
    REQUIRE(node.around.reported.size() == 1);
    CHECK(node.reported(
        "error: command-not-found: there is no 'nosuch' in the container 'debian.sif' "
        "(PATH there: /usr/bin:/bin) (hint: "));
}

TEST_CASE("commands are looked up as Slurm does", "[spank]") {
    const auto [command, exists, result, complains] =
        GENERATE(table<const char*, const char*, int, bool>({
            {"true", "/bin/true", 0, false},
            {"/opt/x", "/opt/x", 0, false},
            {"/opt/x", "/other", 0, true},
            {"./x", "./x", 0, false},
            {"dir/x", "dir/x", 0, false},
            {"true", "/bin/true", EACCES, true},
            {"dir/", "nothing", 0, false}, // srun --bcast puts the program there
        }));
    CAPTURE(command, exists, result);
    Node node;
    node.carried(carrier());
    node.slurm.argv = {command};
    node.around.changes = {{"PATH", "/usr/bin::/bin"}};
    node.around.programs[exists] = result;
    node.begin();
    CHECK_FALSE(node.task());
    CHECK(node.reported("command-not-found") == complains);
    CHECK(node.reported("cannot be executed") == (result == EACCES));
}

TEST_CASE("srun --multi-prog has a command per task that nobody names", "[spank]") {
    Node node;
    node.carried(carrier());
    node.slurm.argv = {"tasks.conf", "0 hostname\n1 date\n"};
    node.begin();
    CHECK_FALSE(node.task());
    CHECK(node.around.reported.empty());
}
