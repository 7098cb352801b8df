// SPDX-License-Identifier: Apache-2.0
#include "launcher/environment.hpp"
#include "tests/unit/launcher/fake_views.hpp"

#include <catch2/catch.hpp>

using namespace slipway;
using namespace slipway::launcher;
using namespace slipway::launcher::join;

namespace {

using Environment = std::map<std::string, std::string>;

/// A request and an image; run() applies the changes to the caller's environment.
struct World {
    World() {
        image.add("/.singularity.d/");
        image.add("/.singularity.d/env/");
        script("01-base.sh", "#!/bin/sh\n");
        script("10-docker2singularity.sh",
               "#!/bin/sh\nexport PATH=\"/image/bin:/usr/bin\"\nexport A=\"${A:-\"image\"}\"\n");
        script("90-environment.sh", "#!/bin/sh\n# Custom environment shell code should follow\n");
        script("99-base.sh", "if [ -z \"$LD_LIBRARY_PATH\" ]; then\n"
                             "LD_LIBRARY_PATH=\"/.singularity.d/libs\"\nelse\n"
                             "LD_LIBRARY_PATH=\"$LD_LIBRARY_PATH:/.singularity.d/libs\"\nfi\n"
                             "PS1=\"> \"\nexport LD_LIBRARY_PATH PS1\n");
        request.environment = {"PATH=/host/bin", "LD_LIBRARY_PATH=/host/lib",
                               "HOME=/home/ann", "USER=ann",
                               "A=host",         "SLURM_JOB_ID=7"};
        names = {"/store/image.sif", "docker://image", "/home/ann", {"/mnt", "/srv"}, 1000, 100};
    }
    void script(const std::string& name, const std::string& text) {
        image.file("/.singularity.d/env/" + name, text);
    }
    base::Result<ContainerEnvironment> make() {
        std::vector<std::string> warnings;
        auto plan = plan_environment(request, site, names, warnings);
        plan.library_directories = library_directories;
        auto made = make_environment({request, plan, cwd, image, shell});
        if (made) {
            made->warnings.insert(made->warnings.begin(), warnings.begin(), warnings.end());
        }
        return made;
    }
    Environment run() {
        auto made = make();
        if (!made) {
            FAIL(made.error().one_line());
        }
        outcome = std::move(*made);
        Environment final;
        for (const auto& item : request.environment) {
            const auto equals = item.find('=');
            final[item.substr(0, equals)] = item.substr(equals + 1);
        }
        for (const auto& change : outcome.changes) {
            if (change.value) {
                final[change.name] = *change.value;
            } else {
                final.erase(change.name);
            }
        }
        return final;
    }

    test::FakeImage image;
    Request request;
    std::vector<std::string> library_directories;
    std::map<std::string, std::string> site;
    ContainerNames names;
    std::string cwd = "/work";
    ContainerEnvironment outcome;
    std::string shell_script;
    std::vector<std::string> shell_environment;
    Environment shell_result;
    ShellRunner shell = [this](const std::string& text,
                               const std::vector<std::string>& start) -> base::Result<Environment> {
        shell_script = text;
        shell_environment = start;
        return shell_result;
    };
};

} // namespace

TEST_CASE("environment: host, image and names come together without a shell") {
    World world;
    const auto env = world.run();
    CHECK_FALSE(world.outcome.used_shell);
    CHECK(env.at("PATH") ==
          "/image/bin:/usr/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/sbin:/bin");
    CHECK(env.at("LD_LIBRARY_PATH") == "/.singularity.d/libs");
    CHECK(env.at("A") == "image");
    CHECK(env.at("USER") == "ann");
    CHECK(env.at("SLURM_JOB_ID") == "7");
    CHECK(env.at("HOME") == "/home/ann");
    CHECK(env.at("SLIPWAY_CONTAINER") == "docker://image");
    CHECK(env.at("SINGULARITY_CONTAINER") == "/store/image.sif");
    CHECK(env.at("APPTAINER_NAME") == "image.sif");
    CHECK(env.at("SINGULARITY_BIND") == "/mnt,/srv");
    CHECK(env.at("USER_PATH") ==
          "/host/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    CHECK(env.at("PS1") == "> ");
}

TEST_CASE("environment: only changes are recorded") {
    World world;
    world.run();
    for (const auto& change : world.outcome.changes) {
        CHECK(change.name != "USER");
        CHECK(change.name != "SLURM_JOB_ID");
        CHECK(change.name != "HOME");
    }
}

TEST_CASE("environment: precedence of the user's variables") {
    World world;
    world.request.environment.emplace_back("SINGULARITYENV_A=singularity");
    CHECK(world.run().at("A") == "singularity");
    CHECK_FALSE(world.run().contains("SINGULARITYENV_A"));
    world.request.environment.emplace_back("APPTAINERENV_A=apptainer");
    CHECK(world.run().at("A") == "apptainer");
    CHECK(world.outcome.warnings.size() == 1);
    world.request.environment.emplace_back("SLIPWAYENV_A=slipway");
    CHECK(world.run().at("A") == "slipway");
    world.request.set_environment = {{"A", "first"}, {"A", "option"}, {"NEW", "$A-$HOME"}};
    CHECK(world.run().at("A") == "option");
    CHECK(world.run().at("NEW") == "option-/home/ann");
    world.request.shell_evaluation = false;
    CHECK(world.run().at("NEW") == "$A-$HOME");
    CHECK(world.run().at("SINGULARITY_NO_EVAL") == "1");
    CHECK_FALSE(world.outcome.used_shell);
}

TEST_CASE("environment: site values are the weakest") {
    World world;
    world.site = {{"A", "site"}, {"USER", "site"}, {"ONLY", "site"}};
    const auto env = world.run();
    CHECK(env.at("A") == "image");
    CHECK(env.at("USER") == "ann");
    CHECK(env.at("ONLY") == "site");
}

TEST_CASE("environment: what the scheduler says stays") {
    World world;
    world.script("91-more.sh", "export SLURM_JOB_ID=1\nexport PMI_RANK=9\nexport "
                               "CUDA_VISIBLE_DEVICES=9\nexport OMPI_X=9\n");
    world.request.environment.emplace_back("CUDA_VISIBLE_DEVICES=0");
    const auto env = world.run();
    CHECK(env.at("SLURM_JOB_ID") == "7");
    CHECK(env.at("CUDA_VISIBLE_DEVICES") == "0");
    CHECK(env.at("PMI_RANK") == "9"); // the host says nothing
    world.request.set_environment = {{"CUDA_VISIBLE_DEVICES", "1"}};
    CHECK(world.run().at("CUDA_VISIBLE_DEVICES") == "1"); // the user may
}

TEST_CASE("environment: --container-env keeps the host's value, PATH included") {
    World world;
    world.request.keep_environment = {"A", "PATH", "NOT_SET"};
    const auto env = world.run();
    CHECK(env.at("A") == "host");
    CHECK(env.at("PATH") == "/host/bin");
    CHECK_FALSE(env.contains("NOT_SET"));
}

TEST_CASE("environment: clean") {
    World world;
    world.request.clean_environment = true;
    world.request.environment.emplace_back("TERM=xterm");
    world.request.environment.emplace_back("https_proxy=http://p");
    world.request.environment.emplace_back("SINGULARITYENV_X=1");
    const auto env = world.run();
    CHECK(env.at("TERM") == "xterm");
    CHECK(env.at("https_proxy") == "http://p");
    CHECK(env.at("LANG") == "C");
    CHECK(env.at("X") == "1");
    CHECK(env.at("A") == "image");
    CHECK_FALSE(env.contains("USER"));
    CHECK_FALSE(env.contains("USER_PATH"));
}

TEST_CASE("environment: PATH hooks") {
    World world;
    world.request.set_environment = {{"PREPEND_PATH", "/first"}, {"APPEND_PATH", "/last"}};
    const auto path = world.run().at("PATH");
    CHECK(path.starts_with("/first:/image/bin:"));
    CHECK(path.ends_with(":/bin:/last"));
    CHECK_FALSE(world.run().contains("SING_USER_DEFINED_PREPEND_PATH"));
    world.request.set_environment = {{"PATH", "/only"}};
    CHECK(world.run().at("PATH") == "/only");
    world.request.set_environment = {{"LD_LIBRARY_PATH", "/mine"}};
    CHECK(world.run().at("LD_LIBRARY_PATH") == "/mine:/.singularity.d/libs");
}

TEST_CASE("environment: refused names are said and ignored") {
    World world;
    world.request.environment.emplace_back("SINGULARITYENV_HOME=/evil");
    world.request.set_environment = {{"SINGULARITY_SHELL", "/x"}, {"1bad", "x"}};
    const auto env = world.run();
    CHECK(env.at("HOME") == "/home/ann");
    CHECK(world.outcome.warnings.size() == 3);
    CHECK(world.outcome.warnings[0] ==
          "SINGULARITYENV_HOME is ignored: the container sets HOME itself");
}

TEST_CASE("environment: odd names of the host pass") {
    World world;
    world.request.environment.emplace_back("BASH_FUNC_x%%=() { :; }");
    CHECK(world.run().at("BASH_FUNC_x%%") == "() { :; }");
    world.request.environment.emplace_back("SINGULARITY_BIND=/x");
    CHECK(world.run().at("SINGULARITY_BIND") == "/mnt,/srv");
}

TEST_CASE("environment: no credentials for registries, unless asked for by name") {
    World world;
    for (const auto* prefix : {"SLIPWAY_", "SINGULARITY_", "APPTAINER_", ""}) {
        world.request.environment.emplace_back(std::string(prefix) + "DOCKER_USERNAME=u");
        world.request.environment.emplace_back(std::string(prefix) + "DOCKER_PASSWORD=p");
    }
    world.request.keep_environment = {"DOCKER_USERNAME"}; // somebody has asked for it
    for (const auto& [name, value] : world.run()) {
        CAPTURE(name);
        CHECK((name.find("DOCKER_") == std::string::npos || name == "DOCKER_USERNAME"));
    }
    CHECK(world.run().contains("DOCKER_USERNAME"));
}

TEST_CASE("environment: an empty value takes the variable away") {
    World world;
    world.request.set_environment = {{"A", ""}};
    CHECK_FALSE(world.run().contains("A"));
}

TEST_CASE("environment: scripts of people need the image's shell") {
    World world;
    world.image.add("/bin/");
    world.image.add("/bin/sh");
    world.script("90-environment.sh", "export B=$(hostname)\n");
    world.request.set_environment = {{"C", "a \"quoted\" $HOME"}};
    world.shell_result = {{"B", "shell"},   {"PATH", "/s"}, {"SHLVL", "1"},
                          {"_", "/bin/sh"}, {"PWD", "/"},   {"HOME", "/home/ann"}};
    const auto env = world.run();
    CHECK(world.outcome.used_shell);
    CHECK(env.at("B") == "shell");
    CHECK(env.at("PATH") == "/s");
    CHECK_FALSE(env.contains("SHLVL"));
    CHECK_FALSE(env.contains("PWD"));
    CHECK_THAT(world.shell_script, Catch::Contains(". '/.singularity.d/env/90-environment.sh'\n"));
    CHECK_THAT(world.shell_script, Catch::Contains("export C=\"a \\\"quoted\\\" $HOME\"\n"));
    CHECK(world.shell_script.find("10-docker") < world.shell_script.find("90-env"));
    // Nothing of the host is there while they run.
    for (const auto& item : world.shell_environment) {
        CHECK_FALSE(item.starts_with("A="));
        CHECK_FALSE(item.starts_with("PATH="));
    }
}

TEST_CASE("environment: no shell in the image") {
    World world;
    world.script("90-environment.sh", "export B=$(hostname)\n");
    auto env = world.run();
    CHECK(world.outcome.warnings.size() == 1);
    CHECK(env.at("A") == "image"); // the other scripts count
    world.request.set_environment = {{"C", "$(id)"}};
    const auto failed = world.make();
    REQUIRE_FALSE(failed);
    CHECK(failed.error().code == base::Code::launcher_failed);
}

TEST_CASE("environment: a symlinked /bin has a shell, too") {
    World world;
    world.image.link("/bin", "usr/bin");
    world.image.add("/usr/bin/sh");
    world.script("90-environment.sh", "echo hi\n");
    world.shell_result = {{"PATH", "/s"}};
    world.run();
    CHECK(world.outcome.used_shell);
}

TEST_CASE("environment: images without metadata") {
    World world;
    world.image = test::FakeImage();
    CHECK(world.run().at("PATH") == default_path);
    CHECK(world.run().at("A") == "host");
    CHECK_FALSE(world.run().contains("LD_LIBRARY_PATH"));
    world.image.file("/etc/environment",
                     "PATH=\"/enroot/bin\"\n# x\nexport B='two words'\nbad line\n");
    CHECK(world.run().at("PATH") == "/enroot/bin");
    CHECK(world.run().at("B") == "two words");
}

TEST_CASE("environment: the first images had one file") {
    World world;
    world.image = test::FakeImage();
    world.image.file("/environment", "export OLD=1\n");
    CHECK(world.run().at("OLD") == "1");
}

TEST_CASE("environment: what every shell knows of itself is there, and not exported") {
    World world;
    world.request.set_environment = {{"WHO", "$UID-${EUID}-$GID-$PWD"}};
    const auto env = world.run();
    CHECK_FALSE(world.outcome.used_shell);
    CHECK(env.at("WHO") == "1000-1000-100-/work");
    CHECK_FALSE(env.contains("UID"));
    CHECK_FALSE(env.contains("GID"));
    CHECK_FALSE(env.contains("PWD"));
}

TEST_CASE("environment: the same in the image's shell, whichever that is") {
    World world;
    world.script("91-test.sh", "WHO=$(id)\n");
    world.image.add("/bin/sh");
    world.run();
    REQUIRE(world.outcome.used_shell);
    CHECK_THAT(world.shell_script, Catch::Contains(": \"${UID:=1000}\"\n"));
    CHECK_THAT(world.shell_script, Catch::Contains(": \"${GID:=100}\"\n"));
    for (const auto& item : world.shell_environment) {
        CHECK_FALSE(item.starts_with("UID="));
    }
}

TEST_CASE("environment: files of the image that are symlinks are read where they lead") {
    World world;
    world.image.link("/.singularity.d/env/91-linked.sh", "../../nix/store/env.sh");
    world.image.file("/nix/store/env.sh", "export LINKED=yes\n");
    world.image.link("/.singularity.d/env/92-loop.sh", "93-loop.sh");
    CHECK(world.run().at("LINKED") == "yes");
    REQUIRE(world.outcome.warnings.size() == 1);
    CHECK_THAT(world.outcome.warnings[0], Catch::Contains("92-loop.sh' is a symlink"));

    World plain;
    plain.image = {};
    plain.image.add("/etc/");
    plain.image.link("/etc/environment", "/nix/store/environment");
    plain.image.file("/nix/store/environment", "FROM=nix\n");
    CHECK(plain.run().at("FROM") == "nix");

    World moved;
    moved.image = {};
    moved.image.link("/.singularity.d", "/usr/lib/meta");
    moved.image.add("/usr/lib/meta/");
    moved.image.add("/usr/lib/meta/env/");
    moved.image.file("/usr/lib/meta/env/10-docker2singularity.sh", "export MOVED=yes\n");
    CHECK(moved.run().at("MOVED") == "yes");
}

TEST_CASE("environment: tests of files follow symlinks and know no empty or relative path") {
    World world;
    world.image.add("/real/");
    world.image.link("/link", "real");
    world.script("91-test.sh", "if [ -d /link ]; then\nexport LINK=directory\nfi\n"
                               "if [ -e \"$NOTHING\" ]; then\nexport EMPTY=there\nfi\n");
    const auto env = world.run();
    CHECK_FALSE(world.outcome.used_shell);
    CHECK(env.at("LINK") == "directory");
    CHECK_FALSE(env.contains("EMPTY"));
    world.script("92-test.sh", "if [ -e real ]; then\nexport X=1\nfi\n");
    world.image.add("/bin/sh");
    world.run();
    CHECK(world.outcome.used_shell); // where it would run is for the shell to know
}

TEST_CASE("environment: directories with a driver's libraries are in LD_LIBRARY_PATH, once") {
    World world;
    world.library_directories = {"/.singularity.d/libs"};
    CHECK(world.run().at("LD_LIBRARY_PATH") == "/.singularity.d/libs");
    world.script("99-zzz.sh", "export LD_LIBRARY_PATH=/opt/lib\n");
    CHECK(world.run().at("LD_LIBRARY_PATH") == "/opt/lib:/.singularity.d/libs");

    World plain; // an image without scripts
    plain.image = {};
    CHECK_FALSE(plain.run().contains("LD_LIBRARY_PATH"));
    plain.library_directories = {"/.singularity.d/libs"};
    CHECK(plain.run().at("LD_LIBRARY_PATH") == "/.singularity.d/libs");
    plain.request.set_environment = {{"LD_LIBRARY_PATH", "/my/lib"}};
    CHECK(plain.run().at("LD_LIBRARY_PATH") == "/my/lib:/.singularity.d/libs");
    plain.request.set_environment = {{"LD_LIBRARY_PATH", ""}};
    CHECK_FALSE(plain.run().contains("LD_LIBRARY_PATH"));
    plain.request.set_environment.clear();
    plain.request.keep_environment = {"LD_LIBRARY_PATH"};
    CHECK(plain.run().at("LD_LIBRARY_PATH") == "/host/lib:/.singularity.d/libs");
}
