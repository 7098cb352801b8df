// SPDX-License-Identifier: Apache-2.0
#include "cli/doctor.hpp"

#include "base/fd.hpp"
#include "base/temp_dir.hpp"
#include "tests/support/skip.hpp"

#include <catch2/catch.hpp>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace slipway;
using namespace slipway::cli;

namespace {

void write(const std::string& path, const std::string& text) {
    const auto file = base::open_file(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    REQUIRE(file);
    REQUIRE(base::write_all(file->get(), text));
}

} // namespace

TEST_CASE("kernels before mount_setattr are too old") {
    CHECK(check_kernel("5.12.0").verdict == Verdict::pass);
    CHECK(check_kernel("5.14.0-427.el9.x86_64").verdict == Verdict::pass);
    CHECK(check_kernel("6.1.0-18-amd64").verdict == Verdict::pass);
    CHECK(check_kernel("5.11.22").verdict == Verdict::fail);
    CHECK(check_kernel("4.18.0-513.el8").verdict == Verdict::fail);
    CHECK(check_kernel("strange").verdict == Verdict::fail);
}

TEST_CASE("a machine without fuse or user namespaces is reported") {
    auto dir = base::TempDir::create("slipway-doctor-");
    REQUIRE(dir);
    REQUIRE(::mkdir((dir->path() + "/dev").c_str(), 0755) == 0);
    Surroundings around{dir->path(), {}, {}};
    CHECK(check_fuse(around).verdict == Verdict::fail);
    CHECK(check_user_namespaces(around).verdict == Verdict::fail);
    write(dir->path() + "/dev/fuse", "");
    REQUIRE(::chmod((dir->path() + "/dev/fuse").c_str(), 0600) == 0);
    CHECK(check_fuse(around).verdict == Verdict::warn);
    REQUIRE(::chmod((dir->path() + "/dev/fuse").c_str(), 0666) == 0);
    CHECK(check_fuse(around).verdict == Verdict::pass);
}

TEST_CASE("plugins are found in plugstack.conf and what it includes") {
    auto dir = base::TempDir::create("slipway-doctor-");
    const auto main_file = dir->path() + "/plugstack.conf";
    const auto other = dir->path() + "/other.conf";
    write(main_file, "# required /old/spank_slipway.so\n required\t/a/spank_slipway.so config=/x # ours\n"
                     "optional /usr/lib/spank_pyxis.so\ninclude " + other + "\n");
    write(other, "optional /b/spank_slipway_2205.so\ninclude " + main_file + "\n");
    const auto plugins = plugins_of(main_file);
    REQUIRE(plugins.size() == 2);
    CHECK(plugins[0] == "/a/spank_slipway.so");
    CHECK(plugins[1] == "/b/spank_slipway_2205.so");
    CHECK(plugins_of(dir->path() + "/none").empty());
}

TEST_CASE("a site whose srun looks for commands on the host is warned") {
    auto dir = base::TempDir::create("slipway-doctor-");
    const auto conf = dir->path() + "/slurm.conf";
    const auto other = dir->path() + "/other.conf";
    for (const std::string line :
         {"LaunchParameters=test_exec", "launchparameters = use_interactive_step, Test_Exec # x",
          "LaunchParameters=enable_nss_slurm\nLaunchParameters=test_exec"}) {
        INFO(line);
        write(conf, "ClusterName=x\n" + line + "\n");
        const auto finding = check_launch_parameters(conf);
        REQUIRE(finding);
        CHECK(finding->verdict == Verdict::warn);
    }
    write(conf, "Include " + other + "\n");
    write(other, "LaunchParameters=test_exec\n");
    CHECK(check_launch_parameters(conf));
    for (const std::string line : {"", "LaunchParameters=enable_nss_slurm", "#LaunchParameters=test_exec",
                                   "LaunchParameters=no_test_execution"}) {
        write(conf, "ClusterName=x\n" + line + "\n");
        CHECK_FALSE(check_launch_parameters(conf));
    }
    CHECK_FALSE(check_launch_parameters(dir->path() + "/none"));
}

TEST_CASE("a plugin's release is read from its bytes, whatever they are") {
    CHECK(plugin_release("/proc/self/exe").empty());
    auto dir = base::TempDir::create("slipway-doctor-");
    write(dir->path() + "/short", "\x7f" "ELF");
    CHECK(plugin_release(dir->path() + "/short").empty());
    // Any byte of the head may lie: no read outside the file, no endless loop.
    auto bytes = base::read_file("/bin/true", 1U << 20U);
    REQUIRE(bytes);
    for (std::size_t at = 4; at < 64; ++at) {
        auto damaged = *bytes;
        damaged[at] = static_cast<char>(0xff);
        write(dir->path() + "/damaged", damaged);
        CHECK(plugin_release(dir->path() + "/damaged").empty());
    }
}

TEST_CASE("a plugin needs both halves, and root's alone") {
    if (::geteuid() != 0) {
        test::skip("only root can make files of root");
        return;
    }
    auto dir = base::TempDir::create("slipway-doctor-");
    const auto front = dir->path() + "/spank_slipway.so";
    const auto core = dir->path() + "/spank_slipway_core.so";
    const auto says = [&](const char* text) {
        const auto finding = check_plugin(front, "");
        CHECK(finding.verdict == Verdict::fail);
        CHECK_THAT(finding.what, Catch::Contains(text));
    };
    says("every srun fails");
    write(front, "");
    says("every job that asks for a container fails");
    write(core, "");
    CHECK(check_plugin(front, "").verdict == Verdict::pass);
    REQUIRE(::chmod(core.c_str(), 0664) == 0);
    says("spank_slipway_core.so' ");
    says("writable");
    REQUIRE(::chmod(core.c_str(), 0644) == 0);
    // Not only the file: who can rename a directory on the way can put another file there.
    REQUIRE(::chmod(dir->path().c_str(), 0777) == 0);
    says("writable");
}

TEST_CASE("stores and services that are not there") {
    config::Config config;
    CHECK(check_store(config).front().verdict == Verdict::warn);
    config.service.listen = {"unix:/nonexistent/socket"};
    CHECK(check_service(config).verdict == Verdict::warn);
    config.store.path = "/nonexistent";
    CHECK(check_store(config).front().verdict == Verdict::fail);
    CHECK(check_service(config).verdict == Verdict::fail);
    auto dir = base::TempDir::create("slipway-doctor-");
    config.store.path = dir->path();
    CHECK(check_store(config).front().verdict == Verdict::pass);
    REQUIRE(::chmod(dir->path().c_str(), 0777) == 0);
    CHECK(check_store(config).front().verdict == Verdict::fail);
    config.registries["127.0.0.1:1"].insecure = true;
    REQUIRE(check_registries(config).size() == 1);
    CHECK(check_registries(config).front().verdict == Verdict::warn);
}

TEST_CASE("what is wrong with one's own store is told with its cure") {
    auto dir = base::TempDir::create("slipway-doctor-");
    REQUIRE(dir);
    const auto program = dir->path() + "/slipway-images";
    const auto says = [&](const std::string& script) {
        const auto file = base::open_file(program, O_WRONLY | O_CREAT | O_TRUNC, 0755);
        REQUIRE(file);
        REQUIRE(base::write_all(file->get(), "#!/bin/sh\n" + script));
    };
    says("echo IMAGE");
    CHECK(check_own_store(program, {}, {}).verdict == Verdict::pass);
    says("echo 'slipway: error: store-unusable: it holds a thesis (hint: name another)' >&2; exit 255");
    const auto finding = check_own_store(program, {}, {});
    CHECK(finding.verdict == Verdict::fail);
    CHECK(finding.what == "store-unusable: it holds a thesis");
    CHECK(finding.cure == "name another");
}

TEST_CASE("findings for people and for programs") {
    const std::vector<Finding> findings{{Verdict::fail, "fuse", "a \"b\"\n", "do"}};
    CHECK(findings_text(findings).starts_with("fail  fuse             a \"b\"\\x0a\n"));
    CHECK(findings_text(findings).find("-> do") != std::string::npos);
    CHECK(findings_json(findings) ==
          "[{\"verdict\":\"fail\",\"check\":\"fuse\",\"what\":\"a \\\"b\\\"\\n\",\"cure\":\"do\"}]\n");
}
