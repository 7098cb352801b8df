// SPDX-License-Identifier: Apache-2.0
#include "cli/action.hpp"
#include "cli/verbs.hpp"

#include <catch2/catch.hpp>

using namespace slipway;
using namespace slipway::cli;
using launcher::join::Containment;
using launcher::join::MountSyntax;
using launcher::join::Switch;
using List = std::vector<std::string>;

namespace {

base::Result<Action> action(const List& words, const List& variables = {},
                            ActionKind kind = ActionKind::exec) {
    const auto* verb = find_verb(kind == ActionKind::exec    ? "exec"
                                 : kind == ActionKind::shell ? "shell"
                                                             : "run");
    const auto groups = all_options(*verb);
    const EnvironmentView environment(variables);
    TRY_ASSIGN(auto arguments, parse_arguments(groups, words, verb->words));
    TRY(add_environment(arguments, groups, environment));
    return read_action(kind, arguments, environment, "/here");
}

Action good(const List& words, const List& variables = {}, ActionKind kind = ActionKind::exec) {
    auto result = action(words, variables, kind);
    if (!result) {
        FAIL(result.error().one_line());
    }
    return std::move(*result);
}

std::string error_of(const List& words, const List& variables = {},
                     ActionKind kind = ActionKind::exec) {
    const auto result = action(words, variables, kind);
    return result ? "accepted" : result.error().one_line();
}

} // namespace

TEST_CASE("image and command") {
    const auto exec = good({"-e", "img.sif", "ls", "-e", "--bind", "x"});
    CHECK(exec.image_word == "img.sif");
    CHECK(exec.request.reference == "img.sif");
    CHECK(exec.command == List{"ls", "-e", "--bind", "x"});
    CHECK(exec.request.cwd == "/here");
    CHECK(good({"img"}, {}, ActionKind::run).command.empty());
    CHECK(good({"img", "-c", "x"}, {}, ActionKind::shell).command == List{"-c", "x"});
    CHECK(error_of({}) == "usage: exec needs an image (hint: see slipway exec --help)");
    CHECK(error_of({"img"}) ==
          "usage: exec needs a command after the image (hint: see slipway exec --help)");
    CHECK(error_of({}, {}, ActionKind::shell) ==
          "usage: shell needs an image (hint: see slipway shell --help)");
}

TEST_CASE("a plain call asks for nothing special") {
    const auto plain = good({"i", "c"}).request;
    CHECK(plain.mounts.empty());
    CHECK(plain.scratch.empty());
    CHECK(plain.no_mount.empty());
    CHECK(plain.workdir.empty());
    CHECK(plain.home.empty());
    CHECK(plain.mount_home == Switch::site_default);
    CHECK(plain.writable == Switch::site_default);
    CHECK(plain.containment == Containment::none);
    CHECK_FALSE(plain.clean_environment);
    CHECK(plain.shell_evaluation);
}

TEST_CASE("mounts keep their order and their spelling") {
    const auto request =
        good({"-B", "/a:/b:ro,/c", "--mount", "type=bind,src=/x,dst=/y", "--bind=/d", "i", "c"},
             {"SINGULARITY_BIND=/e", "APPTAINER_BINDPATH=/f", "SLIPWAY_MOUNT=src=/g,dst=/h"})
            .request;
    const std::vector<std::pair<MountSyntax, std::string>> expected{
        {MountSyntax::bind, "/a:/b:ro,/c"}, {MountSyntax::mount_csv, "type=bind,src=/x,dst=/y"},
        {MountSyntax::bind, "/d"},          {MountSyntax::bind, "/e"},
        {MountSyntax::bind, "/f"},          {MountSyntax::mount_csv, "src=/g,dst=/h"}};
    REQUIRE(request.mounts.size() == expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
        CHECK(request.mounts[i].syntax == expected[i].first);
        CHECK(request.mounts[i].text == expected[i].second);
    }
}

TEST_CASE("mounts and variables are looked at before anything is done, and the option is named") {
    const auto starts = [](const std::string& text, const List& words, const List& variables = {}) {
        INFO(text);
        CHECK_THAT(error_of(words, variables), Catch::StartsWith(text));
    };
    starts("usage: -B has an empty value", {"-B", "", "i", "c"});
    starts("mount-invalid: --bind: mount '/b:/c:zz': ", {"--bind=/a,/b:/c:zz", "i", "c"});
    starts("mount-invalid: APPTAINER_BIND: mount '/b:/c:zz': ", {"i", "c"}, {"APPTAINER_BIND=/a,/b:/c:zz"});
    starts("mount-invalid: --mount: mount 'type=tmpfs': unsupported mount type", {"--mount", "type=tmpfs", "i", "c"});
    starts("usage: --env: 'FOO' is not NAME=VALUE (hint: write NAME=VALUE)", {"--env", "FOO", "i", "c"});
    CHECK(error_of({"-B", "data,../x:/y", "i", "c"}) == "accepted");
}

TEST_CASE("values that concern the fetching are looked at whatever the image is") {
    CHECK(error_of({"--pull", "sometimes", "i", "c"}) ==
          "option-invalid: --pull: 'sometimes' is not known (hint: write one of missing, always, never)");
    CHECK_THAT(error_of({"i", "c"}, {"SLIPWAY_PULL=foo"}),
               Catch::StartsWith("option-invalid: SLIPWAY_PULL: 'foo' is not known"));
    CHECK_THAT(error_of({"--platform", "foo/bar", "i", "c"}), Catch::StartsWith("platform-mismatch: --platform: "));
    CHECK_THAT(error_of({"--arch=pdp11", "i", "c"}), Catch::StartsWith("option-invalid: --arch: "));
    CHECK(error_of({"--pull=always", "--arch=arm64", "i", "c"}) == "accepted");
    const auto fetching = [](const List& words, const List& variables = {}) {
        const auto groups = all_options(*find_verb("exec"));
        auto arguments = parse_arguments(groups, words, Words::end_options);
        REQUIRE(arguments);
        REQUIRE(add_environment(*arguments, groups, EnvironmentView(variables)));
        const auto checked = check_fetching(*arguments);
        return checked ? *wanted_platform(*arguments) : checked.error().message;
    };
    CHECK(fetching({}).empty());
    CHECK(fetching({"--arch=arm64"}) == "arm64");
    CHECK(fetching({"--arch=arm64", "--platform=linux/amd64"}) == "--platform and --arch exclude each other");
    CHECK(fetching({}, {"SLIPWAY_PULL_ARCH=arm64", "APPTAINER_PULL_PLATFORM=linux/amd64"}) ==
          "APPTAINER_PULL_PLATFORM and SLIPWAY_PULL_ARCH exclude each other");
    CHECK(fetching({"--arch=arm64"}, {"SLIPWAY_PULL_PLATFORM=linux/amd64"}) == "arm64");
    CHECK(fetching({"--platform=linux/amd64"}, {"SLIPWAY_PULL_ARCH=arm64"}) == "linux/amd64");
    CHECK(fetching({"--pull=never"}, {"SLIPWAY_DISABLE_CACHE=1"}) ==
          "--pull=never takes images from the store only, and SLIPWAY_DISABLE_CACHE none");
}

TEST_CASE("home") {
    CHECK(good({"-H", "/a:/b", "i", "c"}).request.home == "/a:/b");
    CHECK(good({"-H", "/a", "i", "c"}).request.mount_home == Switch::on);
    CHECK(good({"--no-home", "i", "c"}).request.mount_home == Switch::off);
    CHECK(good({"--no-home", "--home=/a", "i", "c"}).request.mount_home == Switch::off);
    CHECK(good({"--no-home", "--home=/a", "i", "c"}).request.home == "/a");
    CHECK(error_of({"--home", "/a:/b:/c", "i", "c"}) ==
          "option-invalid: --home: '/a:/b:/c' is not SRC or SRC:DST (hint: for other characters in paths use "
          "--mount)");
    CHECK(error_of({"--home=", "i", "c"}).starts_with("usage: --home"));
}

TEST_CASE("overlays and images that are written to") {
    using launcher::join::OverlayRequest;
    const auto request = good({"--overlay", "/a,b.sqsh:ro", "-o", "c", "i", "x"},
                              {"SINGULARITY_OVERLAYIMAGE=/d"})
                             .request;
    CHECK(request.overlays == std::vector<OverlayRequest>{
                                  {"/a", false}, {"b.sqsh", true}, {"c", false}, {"/d", false}});
    CHECK_FALSE(request.write_image);
    CHECK(request.writable == Switch::site_default);
    CHECK(error_of({"--overlay", ":ro", "i", "x"}) ==
          "usage: --overlay needs a path (hint: name a directory or an image file)");
    for (const auto kind : {ActionKind::exec, ActionKind::run, ActionKind::shell}) {
        CHECK(good({"-w", "i", "x"}, {}, kind).request.write_image);
    }
    CHECK(good({"i", "x"}, {"APPTAINER_WRITABLE=1"}).request.write_image);
    // What --compat implies gives way; what was asked for by name does not.
    CHECK(good({"--compat", "--writable", "i", "x"}).request.writable == Switch::site_default);
    CHECK(good({"--writable-tmpfs", "--writable", "i", "x"}).request.writable == Switch::on);
}

TEST_CASE("containment") {
    CHECK(good({"-c", "i", "c"}).request.containment == Containment::contain);
    CHECK_FALSE(good({"-c", "i", "c"}).request.clean_environment);
    CHECK(good({"-C", "i", "c"}).request.containment == Containment::contain_all);
    CHECK(good({"-C", "i", "c"}).request.clean_environment);
    CHECK(good({"-e", "i", "c"}).request.clean_environment);
    CHECK(good({"-e", "i", "c"}).request.containment == Containment::none);
    const auto compat = good({"--compat", "i", "c"});
    CHECK(compat.request.containment == Containment::contain_all);
    CHECK(compat.request.clean_environment);
    CHECK(compat.request.writable == Switch::on);
    CHECK_FALSE(compat.request.shell_evaluation);
    CHECK(compat.reset_umask);
    CHECK(good({"--no-umask", "i", "c"}).reset_umask);
    CHECK_FALSE(good({"--no-eval", "i", "c"}).request.shell_evaluation);
    CHECK(good({"--writable-tmpfs", "i", "c"}).request.writable == Switch::on);
    CHECK(good({"i", "c"}, {"SINGULARITY_CONTAINALL=true"}).request.containment ==
          Containment::contain_all);
    // Accepted for habit.
    CHECK(error_of({"-u", "--no-privs", "i", "c"}) == "accepted");
}

TEST_CASE("namespaces") {
    using launcher::join::Namespaces;
    const auto asked = [](std::vector<std::string> words, const std::vector<std::string>& env = {}) {
        words.insert(words.end(), {"i", "c"});
        return good(words, env).request.namespaces;
    };
    CHECK(asked({}) == Namespaces{});
    CHECK(asked({"-p"}) == Namespaces{.pid = true});
    CHECK(asked({"--pid", "--no-init"}) == Namespaces{.pid = true, .init = false});
    CHECK(asked({"-i", "--uts"}) == Namespaces{.ipc = true, .uts = true});
    CHECK(asked({"-C"}) == Namespaces{.pid = true, .ipc = true});
    CHECK(asked({"-C", "--no-pid"}) == Namespaces{.ipc = true});
    CHECK(asked({"-c"}) == Namespaces{});
    CHECK(asked({"--compat"}) == Namespaces{.pid = true, .init = false, .ipc = true});
    CHECK(asked({"--hostname", "box.example"}) == Namespaces{.uts = true, .hostname = "box.example"});
    CHECK(asked({"--net", "--network", "none"}) == Namespaces{.network = true});
    CHECK(asked({"--network=none"}) == Namespaces{.network = true});
    CHECK(asked({}, {"SINGULARITY_UNSHARE_PID=1", "APPTAINER_IPC=1", "SLIPWAY_NETWORK=none"}) ==
          Namespaces{.pid = true, .ipc = true, .network = true});
    CHECK(error_of({"-n", "i", "c"}) ==
          "unsupported: -n needs a network that only root can set up (hint: use --network none for "
          "a container without network, or leave the option out)");
    CHECK(error_of({"--net", "--network", "bridge", "i", "c"})
              .starts_with("unsupported: --network 'bridge' needs root"));
    CHECK(error_of({"--network-args", "x", "i", "c"}).starts_with("unsupported: "));
    for (const char* name : {"", "-x", ".x", "a b", "a_b", "a/b"}) {
        CHECK_THAT(error_of({"--hostname", name, "i", "c"}), Catch::Contains(": --hostname"));
    }
    CHECK(error_of({"--hostname", std::string(65, 'x'), "i", "c"}).starts_with("option-invalid: --hostname: "));
    CHECK(good({"--dns", "192.0.2.1,::1", "i", "c"}).request.dns == List{"192.0.2.1", "::1"});
    CHECK(error_of({"--dns", "ns.example", "i", "c"}).starts_with("option-invalid: --dns: 'ns.example'"));
}

TEST_CASE("root in the container") {
    CHECK_FALSE(good({"i", "c"}).request.fake_root);
    CHECK(good({"-f", "i", "c"}).request.fake_root);
    CHECK(good({"i", "c"}, {"APPTAINER_FAKEROOT=1"}).request.fake_root);
}

TEST_CASE("GPUs") {
    CHECK_FALSE(good({"i", "c"}).request.nv);
    CHECK_FALSE(good({"i", "c"}).request.rocm);
    CHECK(good({"--nv", "i", "c"}).request.nv);
    CHECK(good({"--rocm", "i", "c"}).request.rocm);
    for (const char* prefix : {"SINGULARITY", "APPTAINER", "SLIPWAY"}) {
        CHECK(good({"i", "c"}, {std::string(prefix) + "_NV=1"}).request.nv);
        CHECK(good({"i", "c"}, {std::string(prefix) + "_ROCM=1"}).request.rocm);
    }
}

TEST_CASE("directories in the container") {
    const auto request =
        good({"--pwd", "/w", "-S", "/s,/t", "--no-mount", "tmp,/etc/hosts", "i", "c"},
             {"SINGULARITY_SCRATCHDIR=/u"})
            .request;
    CHECK(request.workdir == "/w");
    CHECK(request.scratch == List{"/s", "/t", "/u"});
    CHECK(request.work_area.empty());
    CHECK(good({"-W", "w", "i", "c"}).request.work_area == "w");
    CHECK(error_of({"--workdir", "", "i", "c"}).starts_with("usage: --workdir has an empty value"));
    CHECK(request.no_mount == List{"tmp", "/etc/hosts"});
    CHECK(good({"i", "c"}, {"SINGULARITY_PWD=/p"}).request.workdir == "/p");
    CHECK(error_of({"--cwd", "w", "i", "c"}) ==
          "option-invalid: --cwd: 'w' is not an absolute path (hint: name a directory of the container, "
          "beginning with /)");
    CHECK(error_of({"-S", "s", "i", "c"}).starts_with("option-invalid: -S: 's' is not"));
    CHECK(error_of({"--pwd", "", "i", "c"}).starts_with("usage: --pwd has an empty value"));
    CHECK(error_of({"i", "c"}, {"SINGULARITY_PWD=p"})
              .starts_with("option-invalid: SINGULARITY_PWD: 'p' is not an absolute path"));
    CHECK(error_of({"--no-mount", "hmoe", "i", "c"}) ==
          "option-invalid: --no-mount: 'hmoe' is no mount that could be left out (hint: did you mean home?)");
}

TEST_CASE("variables for the container") {
    auto both = good({"--env", "A=1,B=2", "--env", "A=3", "i", "c"}, {"HOST=x"});
    REQUIRE(collect_variables(both));
    const std::vector<std::pair<std::string, std::string>> expected{
        {"A", "1"}, {"B", "2"}, {"A", "3"}};
    CHECK(both.request.set_environment == expected);
    CHECK(both.request.environment == List{"HOST=x"});
}

TEST_CASE("shell, dry run and JSON") {
    CHECK(good({"-s", "/bin/zsh", "i"}, {}, ActionKind::shell).shell == "/bin/zsh");
    CHECK(good({"i"}, {"SINGULARITY_SHELL=/bin/zsh"}, ActionKind::shell).shell == "/bin/zsh");
    CHECK(good({"i", "c"}, {"SINGULARITY_SHELL=/bin/zsh"}).shell.empty());
    CHECK(error_of({"-s", "zsh", "i"}, {}, ActionKind::shell).starts_with("option-invalid: -s: 'zsh'"));
    CHECK(good({"--dry-run", "--json", "i", "c"}).json);
    CHECK(error_of({"--json", "i", "c"}) ==
          "usage: --json is for --dry-run only (hint: leave it out, or add --dry-run)");
    // In exec and run the letter is the global --silent.
    CHECK(error_of({"-s", "i", "c"}) == "accepted");
}

TEST_CASE("options of other runtimes that have no effect here are refused") {
    for (const auto* option :
         {
          "--keep-privs", "--oci", "--nvccli", "--sharens"}) {
        INFO(option);
        CHECK(error_of({option, "i", "c"}).starts_with("unsupported: option "));
    }
    for (const auto* option :
         {"--network-args", "--netns-path", "--security", "--add-caps",
          "--app", "--apply-cgroups", "--pem-path"}) {
        INFO(option);
        CHECK(error_of({option, "x", "i", "c"}).starts_with("unsupported: option "));
    }
    CHECK(error_of({"i", "c"}, {"SINGULARITY_NVCCLI=1"})
              .starts_with("unsupported: option --nvccli, asked"));
}
