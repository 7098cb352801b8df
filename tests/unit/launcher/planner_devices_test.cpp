// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/launcher/driver_files.hpp"
#include "tests/unit/launcher/plan_world.hpp"

namespace slipway::test {
namespace {

using Names = std::vector<std::string>;

/// A node with a driver, and an image that was made without Singularity.
struct GpuNode : World {
    GpuNode() {
        host.file("/etc/ld.so.cache", new_cache({{"libcuda.so.1", "/lib/libcuda.so.1"}}));
        host.file("/lib/libcuda.so.1", elf());
        host.file("/usr/bin/nvidia-smi", elf());
        host.add("@/dev/nvidia0");
        request.nv = true;
    }
};

const std::string cuda = "/.singularity.d/libs/libcuda.so.1";

} // namespace

TEST_CASE("plan: --nv gives an image without metadata the driver's files") {
    GpuNode node;
    const auto plan = node.good();
    const auto* directory = find(plan, "/.singularity.d/libs");
    REQUIRE(directory != nullptr);
    CHECK(directory->kind == Operation::Kind::tmpfs);
    const auto* library = find(plan, cuda);
    REQUIRE(library != nullptr);
    CHECK(library->kind == Operation::Kind::bind);
    CHECK(library->readonly);
    CHECK(library->nodev);
    CHECK_FALSE(library->noexec);
    CHECK(library->create == Create::file);
    CHECK(node.host.opened("/lib/libcuda.so.1") == 1);
    const auto* link = find(plan, "/.singularity.d/libs/libcuda.so");
    REQUIRE(link != nullptr);
    CHECK(link->kind == Operation::Kind::symlink);
    CHECK(link->source == "libcuda.so.1");
    CHECK(find(plan, "/usr/bin/nvidia-smi") != nullptr);
    CHECK(find(plan, "/dev/nvidia0") == nullptr);
    CHECK(plan.environment.library_directories == Names{"/.singularity.d/libs"});
    CHECK(plan.warnings.empty());
}

TEST_CASE("plan: without --nv nothing of the driver is looked at") {
    GpuNode node;
    node.request.nv = false;
    const auto plan = node.good();
    CHECK(find(plan, cuda) == nullptr);
    CHECK(plan.environment.library_directories.empty());
    CHECK(node.host.opened("/lib/libcuda.so.1") == 0);
}

TEST_CASE("plan: --nv is shown by a dry run") {
    GpuNode node;
    const auto plan = node.good();
    CHECK(plan_text(plan).find("env     LD_LIBRARY_PATH with '/.singularity.d/libs'\n") !=
          std::string::npos);
    CHECK(plan_text(plan).find("bind    '" + cuda + "' from '/lib/libcuda.so.1' ro") !=
          std::string::npos);
    CHECK(json_of(plan).at("environment").at("library_directories") ==
          base::json::Value{"/.singularity.d/libs"});
}

TEST_CASE("plan: --nv with a minimal /dev brings the devices") {
    GpuNode node;
    SECTION("--contain") { node.request.containment = Containment::contain; }
    SECTION("the site's choice") { node.site.mount_dev = config::DeviceMode::minimal; }
    const auto plan = node.good();
    const auto* gpu = find(plan, "/dev/nvidia0");
    REQUIRE(gpu != nullptr);
    CHECK_FALSE(gpu->nodev);
    CHECK_FALSE(gpu->readonly);
}

TEST_CASE("plan: --nv with --no-mount dev brings none") {
    GpuNode node;
    node.request.containment = Containment::contain;
    node.request.no_mount = {"dev"};
    CHECK(find(node.good(), "/dev/nvidia0") == nullptr);
}

TEST_CASE("plan: --nv and --rocm together") {
    GpuNode node;
    node.request.rocm = true;
    const auto plan = node.good();
    CHECK(find(plan, cuda) != nullptr);
    CHECK(plan.warnings == Names{"--nv and --rocm do not go together: only --nv is used"});
}

TEST_CASE("plan: --rocm alone") {
    GpuNode node;
    node.request.nv = false;
    node.request.rocm = true;
    CHECK(node.good().warnings == Names{"Could not find any rocm files on this host!"});
}

TEST_CASE("plan: --nv keeps the device's variables in a clean environment") {
    GpuNode node;
    node.request.clean_environment = true;
    node.request.environment = {"CUDA_VISIBLE_DEVICES=1", "OTHER=x"};
    const auto plan = node.good();
    CHECK(plan.environment.host.at("CUDA_VISIBLE_DEVICES") == "1");
    CHECK_FALSE(plan.environment.host.contains("OTHER"));
}

TEST_CASE("plan: the site's list of GPU files") {
    GpuNode node;
    node.site.nv_library_list = "/etc/slipway/list";
    node.host.file("/etc/slipway/list", "nvidia-smi\n");
    CHECK(find(node.good(), cuda) == nullptr);
    CHECK(find(node.good(), "/usr/bin/nvidia-smi") != nullptr);
    node.site.nv_library_list = "/etc/slipway/gone";
    const auto plan = node.good();
    CHECK(find(plan, cuda) != nullptr);
    CHECK(plan.warnings == Names{"cannot read the site's list of GPU files '/etc/slipway/gone'; "
                                 "the list that is built in is used instead"});
}

TEST_CASE("plan: a user's mount lies over the driver's file") {
    GpuNode node;
    node.mount("/data/file:/usr/bin/nvidia-smi");
    CHECK(find(node.good(), "/usr/bin/nvidia-smi")->source == "/data/file");
}

TEST_CASE("plan: a link of the image's does not lead the driver's files to the host") {
    GpuNode node;
    node.image.link("/usr/bin/nvidia-smi", "/tmp/nvidia-smi");
    node.image.link("/.singularity.d", "/tmp/mine");
    const auto plan = node.good();
    CHECK(find(plan, "/tmp/nvidia-smi") == nullptr);
    CHECK(find(plan, "/tmp/mine/libs") == nullptr);
    CHECK(find(plan, cuda) == nullptr);
    CHECK(plan.environment.library_directories.empty());
    CHECK(plan.warnings.size() == 2);
}

} // namespace slipway::test
