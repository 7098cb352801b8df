// SPDX-License-Identifier: Apache-2.0
#include "launcher/devices/library_list.hpp"

#include "base/format.hpp"
#include "base/path.hpp"
#include "base/text.hpp"

namespace slipway::launcher::devices {
namespace {

constexpr std::size_t max_entries = 4096;

/// Everything that the driver's package brings. The loaders of OpenGL and OpenCL belong to no
/// vendor: an image that has them was built with its own, and the host's may need a newer glibc.
constexpr std::string_view nvidia_list = R"(nvidia-smi
nvidia-debugdump
nvidia-persistenced
nv-fabricmanager
nvidia-cuda-mps-control
nvidia-cuda-mps-server
nvidia-imex
nvidia-imex-ctl
libnvidia-ml.so
libnvidia-cfg.so
libnvidia-nscq.so
libnvidia-sandboxutils.so
libcuda.so
libcudadebugger.so
libnvidia-opencl.so
libnvidia-gpucomp.so
libnvidia-ptxjitcompiler.so
libnvidia-fatbinaryloader.so
libnvidia-allocator.so
libnvidia-compiler.so
libnvidia-pkcs11.so
libnvidia-pkcs11-openssl3.so
libnvidia-nvvm.so
libnvidia-nvvm70.so
libnvidia-tileiras.so
libvdpau_nvidia.so
libnvidia-encode.so
libnvidia-opticalflow.so
libnvcuvid.so
libnvidia-eglcore.so
libnvidia-glcore.so
libnvidia-tls.so
libnvidia-glsi.so
libnvidia-fbc.so
libnvidia-ifr.so
libnvidia-rtcore.so
libnvidia-glvkspirv.so
libnvidia-cbl.so
libnvidia-wfb.so
libnvidia-gtk2.so
libnvidia-gtk3.so
libnvidia-vksc-core.so
libnvidia-vulkan-producer.so
libnvidia-present.so
libnvidia-api.so
libnvidia-ngx.so
libnvidia-egl-wayland.so
libnvidia-egl-wayland2.so
libnvidia-egl-gbm.so
libnvidia-egl-xcb.so
libnvidia-egl-xlib.so
libnvoptix.so
libGLX_nvidia.so
libEGL_nvidia.so
libGLESv2_nvidia.so
libGLESv1_CM_nvidia.so
?libGL.so
?libGLX.so
?libEGL.so
?libOpenGL.so
?libGLdispatch.so
?libGLESv1_CM.so
?libGLESv2.so
?libOpenCL.so
/usr/share/nvidia/nvoptix.bin
/usr/share/glvnd/egl_vendor.d/10_nvidia.json
/etc/glvnd/egl_vendor.d/10_nvidia.json
/usr/share/egl/egl_external_platform.d/09_nvidia_wayland2.json
/usr/share/egl/egl_external_platform.d/10_nvidia_wayland.json
/usr/share/egl/egl_external_platform.d/15_nvidia_gbm.json
/usr/share/egl/egl_external_platform.d/20_nvidia_xcb.json
/usr/share/egl/egl_external_platform.d/20_nvidia_xlib.json
/usr/share/vulkan/icd.d/nvidia_icd.json
/usr/share/vulkan/icd.d/nvidia_icd.x86_64.json
/usr/share/vulkan/icd.d/nvidia_layers.json
/usr/share/vulkan/implicit_layer.d/nvidia_layers.json
/etc/vulkan/icd.d/nvidia_icd.json
/etc/vulkan/implicit_layer.d/nvidia_layers.json
/etc/OpenCL/vendors/nvidia.icd
)";

/// Images bring their own ROCm, which the host's libraries would break.
constexpr std::string_view amd_list = R"(rocm-smi
rocminfo
?libdrm.so
?libdrm_amdgpu.so
?libnuma.so
?libpci.so
?libOpenCL.so
?libamdocl64.so
)";

void add_entry(LibraryList& list, std::string_view entry) {
    const bool polite = entry.starts_with('?');
    const auto name = entry.substr(polite ? 1 : 0);
    const bool has_directory = name.find('/') != std::string_view::npos;
    if (!polite && name.starts_with('/') && name.size() > 1 &&
        base::clean_path(name) == name) {
        list.files.emplace_back(name);
    } else if (!has_directory && name.find(".so") != std::string_view::npos) {
        list.libraries.push_back({std::string(name), polite});
    } else if (!has_directory && !polite && name != "." && name != "..") {
        list.programs.emplace_back(name);
    } else {
        list.warnings.push_back(
            fmt::format("{} in the list of GPU files is no library, program or absolute path",
                        base::in_quotes(entry)));
    }
}

} // namespace

LibraryList parse_library_list(std::string_view text) {
    LibraryList list;
    std::size_t count = 0;
    for (const auto line : base::split(text, '\n')) {
        const auto entry = base::trim(line.substr(0, line.find('#')));
        if (entry.empty()) {
            continue;
        }
        if (++count > max_entries) {
            list.warnings.push_back(fmt::format(
                "the list of GPU files has more than {} entries; the others are left out",
                max_entries));
            break;
        }
        add_entry(list, entry);
    }
    return list;
}

std::string_view default_library_list(Vendor vendor) noexcept {
    return vendor == Vendor::nvidia ? nvidia_list : amd_list;
}

} // namespace slipway::launcher::devices
