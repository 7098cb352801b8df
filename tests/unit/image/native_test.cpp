// SPDX-License-Identifier: Apache-2.0
#include "base/path.hpp"
#include "base/temp_dir.hpp"
#include "image/inspect.hpp"
#include "image/native.hpp"
#include "tests/unit/image/support.hpp"

#include <catch2/catch.hpp>
#include <fcntl.h>

#include <algorithm>
#include <set>

using namespace slipway;
using image::EntryKind;
using image::EntryRule;

namespace {

const image::NativeSource source{
    .bootstrap = "docker", .from = "alpine:3.19", .tool_version = "0.1.0"};

image::ImageConfig config_of(std::vector<std::string> entrypoint, std::vector<std::string> cmd) {
    image::ImageConfig config;
    config.entrypoint = std::move(entrypoint);
    config.cmd = std::move(cmd);
    return config;
}

/// Runs a script as /bin/sh does; what it prints, the exit code in front when it is not 0.
std::string run_script(const std::string& text, std::vector<std::string> arguments,
                       std::vector<std::string> environment = {}) {
    const auto dir = base::TempDir::create("script");
    REQUIRE(dir);
    const auto path = dir->path() + "/script";
    auto fd = base::open_file(path, O_WRONLY | O_CREAT, 0755);
    REQUIRE(fd);
    REQUIRE(base::write_all(fd->get(), text));
    REQUIRE(fd->close());
    arguments.insert(arguments.begin(), {"/bin/sh", path});
    environment.emplace_back("PATH=/usr/bin:/bin");
    const auto got = test::run(arguments, environment);
    return got.exit_code == 0 ? got.out : std::to_string(got.exit_code) + ":" + got.out;
}

const std::string words = "printf"; // prints each word in brackets with this first argument:
const std::string brackets = "[%s]";

} // namespace

TEST_CASE("the source becomes a definition text") {
    CHECK(image::deffile_text(source) == "bootstrap: docker\nfrom: alpine:3.19\n\n");
    const auto archive = image::native_source("oci-archive:img/x.tar", "1");
    CHECK(image::deffile_text(archive) == "bootstrap: oci-archive\nfrom: img/x.tar\n\n");
    CHECK(image::native_source("docker://a/b", "1").from == "a/b");
    CHECK(image::native_source("nvcr.io#a/b:1", "1").from == "nvcr.io/a/b:1");
    CHECK(image::native_source("localhost:5000/b", "1").from == "localhost:5000/b");
    CHECK(
        image::deffile_text({.bootstrap = "docker", .from = "x\n%post\nrm", .tool_version = ""}) ==
        "bootstrap: docker\nfrom: x %post rm\n\n");
}

TEST_CASE("labels are the image's and the schema's") {
    auto config = config_of({}, {});
    config.labels = {{"maintainer", "me"}, {"org.label-schema.schema-version", "0.1"}};
    config.platform.architecture = "amd64";
    config.created = "2026-11-21T00:17:24.5Z";
    const auto labels = image::native_labels(source, config);
    CHECK(labels.at("maintainer") == "me");
    CHECK(labels.at("org.label-schema.schema-version") == "1.0");
    CHECK(labels.at("org.label-schema.build-date") == "Saturday_21_November_2026_0:17:24_UTC");
    CHECK(labels.at("org.label-schema.build-arch") == "amd64");
    CHECK(labels.at("org.label-schema.usage.singularity.deffile.bootstrap") == "docker");
    CHECK(labels.at("org.label-schema.usage.singularity.deffile.from") == "alpine:3.19");
    CHECK(!image::native_labels(source, config_of({}, {})).contains("org.label-schema.build-date"));
}

TEST_CASE("Env becomes a script that keeps values and is safe") {
    auto config = config_of({}, {});
    config.env = {"PATH=/opt/bin:/usr/bin",
                  "A=plain",
                  "B=with \"quotes\" $HOME `id` \\n $(id)",
                  "C",
                  "BAD-NAME=x",
                  "1X=y",
                  "=z",
                  "D=two\nlines",
                  "E=",
                  "A=again"};
    const auto text = image::docker_environment_text(config);
    CHECK(text.starts_with(
        "#!/bin/sh\nexport PATH=\"/opt/bin:/usr/bin\"\nexport A=\"${A:-\"plain\"}\"\n"));
    CHECK(text.find("BAD") == std::string::npos);
    CHECK(text.find("1X") == std::string::npos);
    const auto shown =
        run_script(text + "printf '%s|' \"$A\" \"$B\" \"$C\" \"$D\" \"$E\"\n", {}, {"HOME=/h"});
    CHECK(shown == "plain|with \"quotes\" $HOME `id` \\n $(id)||two\nlines||");
    CHECK(run_script(text + "printf %s \"$A\"\n", {}, {"A=user"}) ==
          "user"); // the user's value wins
    CHECK(run_script(text + "printf %s \"$PATH\"\n", {}) == "/opt/bin:/usr/bin");
    CHECK(image::docker_environment_text(config_of({}, {})) == "#!/bin/sh\n");
}

TEST_CASE("the runscript joins ENTRYPOINT, CMD and arguments in both modes") {
    const std::vector<std::string> entrypoint = {words, brackets};
    const std::vector<std::string> exact = {"SINGULARITY_NO_EVAL=1"};
    for (const auto& mode :
         {std::vector<std::string>{}, exact, std::vector<std::string>{"APPTAINER_NO_EVAL=1"}}) {
        const auto both = image::runscript_text(config_of(entrypoint, {"a b", "c"}));
        CHECK(run_script(both, {}, mode) == "[a b][c]");
        CHECK(run_script(both, {"x", "y z"}, mode) == "[x][y z]");
        const auto entry_only = image::runscript_text(config_of({words, brackets, "e"}, {}));
        CHECK(run_script(entry_only, {}, mode) == "[e]");
        CHECK(run_script(entry_only, {"x"}, mode) == "[e][x]");
        const auto cmd_only = image::runscript_text(config_of({}, {words, brackets, "c"}));
        CHECK(run_script(cmd_only, {}, mode) == "[c]");
        CHECK(run_script(cmd_only, {words, "<%s>", "-q"}, mode) == "<-q>");
        // Words of the image are exact in both modes.
        const auto odd = image::runscript_text(config_of(
            {words, brackets, "$HOME", "`id`", "it's", "\"q\"", "back\\slash", "new\nline", ""},
            {"*"}));
        CHECK(run_script(odd, {}, mode) ==
              "[$HOME][`id`][it's][\"q\"][back\\slash][new\nline][][*]");
        const auto none = image::runscript_text(config_of({}, {}));
        CHECK(run_script(none, {words, brackets, "x"}, mode) == "[x]");
        // The shell reads an empty input here.
        CHECK(run_script("exec </dev/null\n" + none, {}, mode) ==
              "the image names no program, executing /bin/sh\n");
    }
}

TEST_CASE("words of the caller are evaluated once more unless asked not to") {
    const auto script = image::runscript_text(config_of({words, brackets}, {}));
    CHECK(run_script(script, {"$HOME", "$(echo hi)"}, {"HOME=/h"}) == "[/h][hi]");
    CHECK(run_script(script, {"$HOME", "$(echo hi)"}, {"HOME=/h", "SINGULARITY_NO_EVAL=1"}) ==
          "[$HOME][$(echo hi)]");
    CHECK(run_script(script, {"echo \"hello there\""}) == "[echo hello][there]");
    CHECK(run_script(image::runscript_text(config_of({}, {"true"})), {"-e", "ls"})
              .starts_with("127:"));
}

TEST_CASE("every script is correct sh") {
    const auto tree = image::native_tree(source, config_of({"a"}, {"b"}));
    const auto dash = test::find_program({"/bin/dash"});
    const auto bash = test::find_program({"/bin/bash"});
    const auto busybox = test::find_program({"/bin/busybox"});
    std::size_t scripts = 0;
    for (const auto& entry : tree) {
        if (entry.kind != EntryKind::file || !entry.content.starts_with("#!/bin/sh")) {
            continue;
        }
        ++scripts;
        CHECK(entry.mode == 0755);
        const auto dir = base::TempDir::create("syntax");
        const auto path = dir->path() + "/s";
        auto fd = base::open_file(path, O_WRONLY | O_CREAT, 0755);
        REQUIRE(base::write_all(fd->get(), entry.content));
        for (auto argv : {std::vector<std::string>{dash}, {bash, "--posix"}, {busybox, "sh"}}) {
            if (!argv.front().empty()) {
                argv.insert(argv.end(), {"-n", path});
                const auto got = test::run(argv);
                INFO(entry.path << ": " << got.out);
                CHECK(got.exit_code == 0);
            }
        }
    }
    CHECK(scripts == 13);
}

TEST_CASE("the environment scripts do what runtimes rely on") {
    const auto tree = image::native_tree(source, config_of({}, {}));
    const auto content = [&](std::string_view path) {
        const auto found =
            std::find_if(tree.begin(), tree.end(), [&](const auto& e) { return e.path == path; });
        REQUIRE(found != tree.end());
        return found->content;
    };
    const auto libraries =
        content(".singularity.d/env/99-base.sh") + "printf %s \"$LD_LIBRARY_PATH|$PS1\"\n";
    CHECK(run_script(libraries, {}) == "/.singularity.d/libs|Singularity> ");
    CHECK(run_script(libraries, {}, {"LD_LIBRARY_PATH=/a", "PS1=> "}) ==
          "/a:/.singularity.d/libs|> ");
    const auto path = content(".singularity.d/env/99-runtimevars.sh") +
                      "printf %s \"$PATH|${SING_USER_DEFINED_PATH-gone}\"\n";
    CHECK(run_script(path, {},
                     {"SING_USER_DEFINED_PREPEND_PATH=/p", "SING_USER_DEFINED_APPEND_PATH=/a"}) ==
          "/p:/usr/bin:/bin:/a|gone");
    CHECK(run_script(path, {}, {"SING_USER_DEFINED_PATH=/only"}) == "/only|gone");
    CHECK(run_script(content(".singularity.d/env/95-apps.sh") + "echo ok\n", {}) == "ok\n");
    CHECK(run_script(content(".singularity.d/env/95-apps.sh"), {}, {"SINGULARITY_APPNAME=nosuch"})
              .starts_with("1:"));
    // The actions read the (absent here) environment of / and then act.
    CHECK(run_script(content(".singularity.d/actions/exec"), {"echo", "a b"}) == "a b\n");
    CHECK(run_script(content(".singularity.d/actions/shell"), {"-c", "echo in"}) == "in\n");
    CHECK(run_script(content(".singularity.d/actions/test"), {}) ==
          "No test script found in container, exiting\n");
    CHECK(run_script(content(".singularity.d/actions/run"), {"-c", "echo sh"}) ==
          "No runscript found in container, executing /bin/sh\nsh\n");
}

TEST_CASE("the tree is complete, ordered and reproducible") {
    auto config = config_of({"a"}, {});
    config.labels = {{"k", "v"}};
    const auto tree = image::native_tree(source, config);
    std::set<std::string> seen;
    for (const auto& entry : tree) {
        INFO(entry.path);
        CHECK(!entry.path.starts_with('/'));
        CHECK(!base::has_dotdot(entry.path));
        const std::string parent(base::dir_name(entry.path));
        CHECK((parent == "." || seen.contains(parent)));
        CHECK(seen.insert(entry.path).second);
        if (entry.kind == EntryKind::symlink) {
            CHECK(entry.rule == EntryRule::link);
            CHECK(seen.contains(entry.content) == (entry.content != ".singularity.d/test"));
        }
    }
    for (const auto* path : {".singularity.d/labels.json", ".singularity.d/Singularity",
                             "etc/hosts", "etc/resolv.conf", "proc", "dev", "sys", "tmp", "var/tmp",
                             "home", "root", "singularity", ".run", ".exec", ".test", ".shell",
                             "environment", ".singularity.d/libs", ".singularity.d/startscript"}) {
        INFO(path);
        CHECK(seen.contains(path));
    }
    const auto again = image::native_tree(source, config);
    REQUIRE(again.size() == tree.size());
    for (std::size_t i = 0; i < tree.size(); ++i) {
        CHECK(again[i].content == tree[i].content);
    }
    const auto labels = std::find_if(tree.begin(), tree.end(), [](const auto& e) {
        return e.path == ".singularity.d/labels.json";
    });
    CHECK(labels->content.starts_with("{\n\t\"k\": \"v\",\n\t\"org.label-schema."));
    CHECK(labels->content.ends_with("}"));
}

TEST_CASE("the metadata object says the same as the files") {
    auto config = config_of({"a"}, {"b"});
    config.env = {"A=1"};
    config.labels = {{"k", "v"}};
    const auto parsed = image::parse_metadata(image::inspect_metadata_text(source, config));
    REQUIRE(parsed);
    CHECK(parsed->labels == image::native_labels(source, config));
    CHECK(parsed->deffile == "bootstrap: docker\nfrom: alpine:3.19");
    CHECK(parsed->runscript + "\n" == image::runscript_text(config));
    CHECK(parsed->startscript == "#!/bin/sh");
    CHECK(parsed->environment.at("/.singularity.d/env/10-docker2singularity.sh") ==
          "#!/bin/sh\nexport A=\"${A:-\"1\"}\"");
    const auto tree = image::native_tree(source, config);
    const image::ImageFiles files{
        .read = [&](const std::string& path) -> base::Result<std::optional<std::string>> {
            for (const auto& entry : tree) {
                if ("/" + entry.path == path && entry.kind == EntryKind::file) {
                    return std::optional(entry.content);
                }
            }
            return std::optional<std::string>();
        },
        .list = [&](const std::string& path) -> base::Result<std::vector<std::string>> {
            std::vector<std::string> names;
            for (const auto& entry : tree) {
                if ("/" + std::string(base::dir_name(entry.path)) == path) {
                    names.emplace_back(base::base_name(entry.path));
                }
            }
            std::sort(names.begin(), names.end());
            return names;
        }};
    const auto collected = image::collect_metadata(files);
    REQUIRE(collected);
    CHECK(image::metadata_json_compact(*collected, image::MetadataParts::all()) ==
          image::inspect_metadata_text(source, config));
}
