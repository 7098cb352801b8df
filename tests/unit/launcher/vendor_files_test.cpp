// SPDX-License-Identifier: Apache-2.0
#include "launcher/devices/ld_so_cache.hpp"
#include "launcher/devices/vendor_files.hpp"
#include "tests/unit/launcher/driver_files.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <map>
#include <set>

namespace slipway::test {
namespace {

using namespace launcher::devices;
using Names = std::vector<std::string>;

/// "x/" is a directory, "@x" a device; contents make regular files.
class PaintedHost final : public Host {
  public:
    void add(const std::string& path, const std::string& content = elf()) { files[path] = content; }
    void cache(const std::vector<CacheEntry>& entries) { add(loader_cache, new_cache(entries)); }

    std::optional<Source> open(const std::string& path) override {
        const auto kind = files.contains("@" + path)   ? SourceKind::device
                          : files.contains(path + "/") ? SourceKind::directory
                                                       : SourceKind::file;
        if (kind == SourceKind::file && !files.contains(path)) {
            return std::nullopt;
        }
        opened.push_back(path);
        return Source{static_cast<int>(opened.size()) - 1, kind};
    }
    std::optional<std::string> start_of(int handle, std::size_t max) override {
        const auto found = files.find(opened.at(static_cast<std::size_t>(handle)));
        return found == files.end() ? std::nullopt : std::optional(found->second.substr(0, max));
    }
    std::optional<std::string> read(const std::string& path, std::size_t) override {
        const auto found = files.find(path);
        return found == files.end() ? std::nullopt : std::optional(found->second);
    }
    std::vector<std::string> names(const std::string& directory) override {
        std::set<std::string> list;
        for (const auto& [written, content] : files) {
            auto path = written.substr(written.starts_with('@') ? 1 : 0);
            path = path.substr(0, path.size() - (path.ends_with('/') ? 1 : 0));
            const auto slash = path.rfind('/');
            if (path.substr(0, slash) == directory) {
                list.insert(path.substr(slash + 1));
            }
        }
        return {list.begin(), list.end()};
    }

    std::map<std::string, std::string> files;
    Names opened;
};

class PaintedImage final : public Image {
  public:
    bool has(const std::string& path) const override { return files.contains(path); }
    std::optional<std::string> read(const std::string& path, std::size_t) const override {
        const auto found = files.find(path);
        return found == files.end() ? std::nullopt : std::optional(found->second);
    }
    std::map<std::string, std::string> files;
};

struct World {
    World() {
        host.cache({{"libcuda.so.1", "/lib/libcuda.so.1"}, {"libc.so.6", "/lib/libc.so.6"}});
        host.add("/lib/libcuda.so.1");
        host.add("/lib/libc.so.6");
    }
    ContainerEdits edits(Vendor vendor = Vendor::nvidia) {
        const auto list = parse_library_list(text.empty() ? default_library_list(vendor) : text);
        return vendor_edits({vendor, list, environment, own_dev}, host, image);
    }
    /// "target=source" of the mounts.
    Names mounts(Vendor vendor = Vendor::nvidia) {
        Names out;
        for (const auto& mount : edits(vendor).mounts) {
            out.push_back(mount.target + "=" + mount.source);
        }
        return out;
    }
    PaintedHost host;
    PaintedImage image;
    Names environment;
    std::string text;
    bool own_dev = false;
};

const std::string libs = "/.singularity.d/libs/";

Names nodes_of(World& world, Vendor vendor) {
    Names out;
    for (const auto& node : world.edits(vendor).nodes) {
        CHECK(node.target == node.source);
        CHECK_FALSE(node.readonly);
        out.push_back(node.target);
    }
    return out;
}

} // namespace

TEST_CASE("elf: only for this machine") {
    CHECK(is_own_elf(elf()));
    CHECK_FALSE(is_own_elf(elf(1)));
    CHECK_FALSE(is_own_elf(elf(2, 3)));
    CHECK_FALSE(is_own_elf(elf(2, own_machine.elf, 2)));
    CHECK_FALSE(is_own_elf(elf().substr(0, elf_start_bytes - 1)));
    CHECK_FALSE(is_own_elf(""));
    CHECK_FALSE(is_own_elf("/* GNU ld script */ INPUT(libcuda.so.1)"));
}

TEST_CASE("library list: kinds of entries, comments, and lines that are none") {
    const auto list = parse_library_list("# all\n nvidia-smi # tool\n\nlibcuda.so\n?libGL.so\n"
                                         "/usr/share/x.json\n/a/../b\nlib/x.so\n?tool\n..\n/\n");
    CHECK(list.programs == Names{"nvidia-smi"});
    CHECK(list.files == Names{"/usr/share/x.json"});
    REQUIRE(list.libraries.size() == 2);
    CHECK((list.libraries[0].prefix == "libcuda.so" && !list.libraries[0].only_if_image_lacks));
    CHECK((list.libraries[1].prefix == "libGL.so" && list.libraries[1].only_if_image_lacks));
    CHECK(list.warnings.size() == 5);
}

TEST_CASE("library list: a file without end is cut") {
    std::string text;
    for (int i = 0; i < 5000; ++i) {
        text += "tool\n";
    }
    const auto list = parse_library_list(text);
    CHECK(list.programs.size() == 4096);
    CHECK(list.warnings.size() == 1);
}

TEST_CASE("library list: those that are built in are whole") {
    for (const auto vendor : {Vendor::nvidia, Vendor::amd}) {
        CHECK(parse_library_list(default_library_list(vendor)).warnings.empty());
    }
}

TEST_CASE("gpu files: libraries of the list under their names, read-only") {
    World world;
    const auto edits = world.edits();
    REQUIRE(edits.mounts.size() == 1);
    CHECK(edits.mounts[0].target == libs + "libcuda.so.1");
    CHECK(edits.mounts[0].source == "/lib/libcuda.so.1");
    CHECK(edits.mounts[0].readonly);
    CHECK(edits.library_directories == Names{library_directory});
    CHECK(edits.warnings.empty());
    CHECK(edits.nodes.empty());
}

TEST_CASE("gpu files: each source is opened once, and mounted as it was opened") {
    World world;
    const auto edits = world.edits();
    CHECK(std::count(world.host.opened.begin(), world.host.opened.end(), "/lib/libcuda.so.1") == 1);
    CHECK(world.host.opened.at(static_cast<std::size_t>(edits.mounts[0].handle)) ==
          "/lib/libcuda.so.1");
}

TEST_CASE("gpu files: a name that only begins like one of the list is not meant") {
    World world;
    world.text = "libnvidia-nvvm.so\n";
    world.host.cache({{"libnvidia-nvvm70.so.4", "/lib/a"}, {"libnvidia-nvvm.so.4", "/lib/b"}});
    world.host.add("/lib/a");
    world.host.add("/lib/b");
    CHECK(world.mounts() == Names{libs + "libnvidia-nvvm.so.4=/lib/b"});
}

TEST_CASE("gpu files: both names of a library") {
    World world;
    world.host.cache({{"libcuda.so.1", "/lib/libcuda.so.1"}, {"libcuda.so", "/lib/libcuda.so"}});
    world.host.add("/lib/libcuda.so");
    CHECK(world.mounts() == Names{libs + "libcuda.so.1=/lib/libcuda.so.1",
                                  libs + "libcuda.so=/lib/libcuda.so"});
    CHECK(world.edits().symlinks.empty());
}

TEST_CASE("gpu files: names that programs open and the driver lacks are links") {
    World world;
    const auto links = world.edits().symlinks;
    REQUIRE(links.size() == 1);
    CHECK(links[0].target == libs + "libcuda.so");
    CHECK(links[0].to == "libcuda.so.1");
}

TEST_CASE("gpu files: the first file of a name that is for this machine") {
    World world;
    world.host.cache({{"libcuda.so.1", "/gone"},
                      {"libcuda.so.1", "/other/machine"},
                      {"libcuda.so.1", "/a/directory"},
                      {"libcuda.so.1", "/second"},
                      {"libcuda.so.1", "/third"}});
    world.host.add("/other/machine", elf(1, 3));
    world.host.add("/a/directory/");
    world.host.add("/second");
    world.host.add("/third");
    CHECK(world.mounts() == Names{libs + "libcuda.so.1=/second"});
}

TEST_CASE("gpu files: libraries of 32 bits are passed over without a word") {
    World world;
    world.host.cache({{"libcuda.so.1", "/lib32/libcuda.so.1", i386_flags}});
    world.host.add("/lib32/libcuda.so.1", elf(1, 3));
    world.host.add("/usr/bin/nvidia-smi");
    CHECK(world.mounts() == Names{"/usr/bin/nvidia-smi=/usr/bin/nvidia-smi"});
    CHECK(world.edits().warnings.empty());
}

TEST_CASE("gpu files: without a usable cache the usual directories are looked into") {
    for (const std::string cache : {"", "nonsense"}) {
        World world;
        world.host.add(loader_cache, cache);
        const auto path =
            "/usr/lib/" + std::string(own_machine.triplet) + "/libnvidia-ml.so.1";
        world.host.add(path);
        CHECK(world.mounts() == Names{libs + "libnvidia-ml.so.1=" + path,
                                      libs + "libcuda.so.1=/lib/libcuda.so.1"});
    }
}

TEST_CASE("gpu files: a hostile cache of the host's gives nothing that is not asked for") {
    World world;
    world.host.cache({{"libcuda.so.1", "/etc/shadow"}, {"libcuda.so.2", "/dev/zero"}});
    world.host.add("/etc/shadow", "root:*:");
    world.host.add("@/dev/zero");
    CHECK(world.mounts().empty());
}

TEST_CASE("gpu files: loaders of no vendor only where the image has none") {
    World world;
    world.host.cache({{"libGL.so.1", "/lib/libGL.so.1"}, {"libcuda.so.1", "/lib/libcuda.so.1"}});
    world.host.add("/lib/libGL.so.1");
    CHECK(world.mounts().front() == libs + "libGL.so.1=/lib/libGL.so.1");
    SECTION("in a usual directory") { world.image.files["/usr/lib64/libGL.so.1"] = ""; }
    SECTION("in the image's cache") {
        world.image.files[loader_cache] = new_cache({{"libGL.so.1", "/opt/libGL.so.1"}});
    }
    CHECK(world.mounts() == Names{libs + "libcuda.so.1=/lib/libcuda.so.1"});
}

TEST_CASE("gpu files: loaders of no vendor are no driver") {
    World world;
    world.host.cache({{"libGL.so.1", "/lib/libGL.so.1"}});
    world.host.add("/lib/libGL.so.1");
    const auto edits = world.edits();
    CHECK(edits.mounts.empty());
    CHECK(edits.library_directories.empty());
    CHECK(edits.warnings == Names{"Could not find any nv files on this host!"});
}

TEST_CASE("gpu files: an image's cache that is damaged or for others says nothing") {
    World world;
    world.host.cache({{"libGL.so.1", "/lib/libGL.so.1"}, {"libcuda.so.1", "/lib/libcuda.so.1"}});
    world.host.add("/lib/libGL.so.1");
    world.image.files[loader_cache] = new_cache({{"libGL.so.1", "/x", i386_flags}});
    CHECK(world.mounts().size() == 2);
    world.image.files[loader_cache] = "glibc-ld.so.cache1.1";
    CHECK(world.mounts().size() == 2);
}

TEST_CASE("gpu files: the driver's own libraries win over the image's") {
    World world;
    world.image.files["/usr/lib64/libcuda.so.1"] = "";
    CHECK(world.mounts().size() == 1);
}

TEST_CASE("gpu files: programs come from directories of root's, in order") {
    World world;
    world.environment = {"PATH=/home/ann/bin"};
    world.host.add("/home/ann/bin/nvidia-smi");
    world.host.add("/usr/sbin/nvidia-smi", "#!/bin/sh\n");
    world.host.add("/usr/bin/nvidia-smi");
    world.host.add("/bin/nvidia-smi");
    CHECK(world.mounts() == Names{libs + "libcuda.so.1=/lib/libcuda.so.1",
                                  "/usr/bin/nvidia-smi=/usr/bin/nvidia-smi"});
    world.host.add("/usr/local/bin/nvidia-smi");
    CHECK(world.mounts().back() == "/usr/bin/nvidia-smi=/usr/local/bin/nvidia-smi");
}

TEST_CASE("gpu files: other files stay where they are") {
    World world;
    world.host.add("/etc/OpenCL/vendors/nvidia.icd", "libnvidia-opencl.so.1\n");
    CHECK(world.mounts().back() ==
          "/etc/OpenCL/vendors/nvidia.icd=/etc/OpenCL/vendors/nvidia.icd");
}

TEST_CASE("gpu files: sockets of services can be connected to") {
    World world;
    world.host.add("/var/run/nvidia-persistenced/socket", "");
    const auto edits = world.edits();
    REQUIRE(edits.mounts.size() == 2);
    CHECK(edits.mounts[1].target == "/var/run/nvidia-persistenced/socket");
    CHECK_FALSE(edits.mounts[1].readonly);
}

TEST_CASE("gpu files: the directory of MPS where its service listens") {
    World world;
    world.host.add("/tmp/nvidia-mps/");
    CHECK(world.mounts().size() == 1);
    world.host.add("/tmp/nvidia-mps/control", "");
    CHECK(world.mounts().back() == "/tmp/nvidia-mps=/tmp/nvidia-mps");
    world.environment = {"CUDA_MPS_PIPE_DIRECTORY=/run/mps/"};
    CHECK(world.mounts().size() == 1);
    world.host.add("/run/mps/");
    world.host.add("/run/mps/control", "");
    CHECK(world.mounts().back() == "/run/mps=/run/mps");
    CHECK(world.mounts(Vendor::amd).empty());
}

TEST_CASE("gpu files: an MPS directory that is none") {
    World world;
    for (const std::string value : {"", "relative", "/", "/etc"}) {
        world.environment = {"CUDA_MPS_PIPE_DIRECTORY=" + value};
        world.host.add("/etc/");
        CHECK(world.mounts().size() == 1);
    }
}

TEST_CASE("gpu files: device nodes for a /dev of the container's own") {
    World world;
    for (const auto* path : {"@/dev/nvidia0", "@/dev/nvidiactl", "@/dev/nvidia-uvm", "@/dev/null",
                             "@/dev/kfd", "/dev/nvidia-caps/", "/dev/dri/", "/dev/nvidia-other/"}) {
        world.host.add(path);
    }
    world.host.add("/dev/nvidia-file", "no device");
    CHECK(nodes_of(world, Vendor::nvidia).empty());
    world.own_dev = true;
    CHECK(nodes_of(world, Vendor::nvidia) ==
          Names{"/dev/nvidia-caps", "/dev/nvidia-uvm", "/dev/nvidia0", "/dev/nvidiactl"});
    CHECK(nodes_of(world, Vendor::amd) == Names{"/dev/dri", "/dev/kfd"});
}

TEST_CASE("gpu files: variables that name devices go in") {
    World world;
    world.environment = {"CUDA_VISIBLE_DEVICES=1", "ROCR_VISIBLE_DEVICES=0", "OTHER=x",
                         "CUDA_DEVICE_ORDER="};
    CHECK(world.edits().environment ==
          std::vector<std::pair<std::string, std::string>>{{"CUDA_VISIBLE_DEVICES", "1"}});
    CHECK(world.edits(Vendor::amd).environment ==
          std::vector<std::pair<std::string, std::string>>{{"ROCR_VISIBLE_DEVICES", "0"}});
}

TEST_CASE("gpu files: nothing found is one warning") {
    World world;
    world.host.files.clear();
    CHECK(world.edits().warnings == Names{"Could not find any nv files on this host!"});
    CHECK(world.edits(Vendor::amd).warnings ==
          Names{"Could not find any rocm files on this host!"});
    CHECK(world.edits().library_directories.empty());
    CHECK(world.edits().symlinks.empty());
}

TEST_CASE("gpu files: ROCm's libraries only where the image has none") {
    World world;
    world.host.cache({{"libdrm_amdgpu.so.1", "/lib/a"}, {"libamdhip64.so.6", "/lib/b"}});
    world.host.add("/lib/a");
    world.host.add("/lib/b");
    CHECK(world.mounts(Vendor::amd) == Names{libs + "libdrm_amdgpu.so.1=/lib/a"});
    world.image.files["/usr/lib/libdrm_amdgpu.so.1"] = "";
    CHECK(world.mounts(Vendor::amd).empty());
}

} // namespace slipway::test
