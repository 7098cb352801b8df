// SPDX-License-Identifier: Apache-2.0
// First byte: spelling; rest: the argument. Whatever is accepted must be a mount that no container
// can be taken apart with.
#include "launcher/join/mount_spec.hpp"

#include "base/path.hpp"

#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace slipway;
    if (size == 0) {
        return 0;
    }
    const auto syntax = static_cast<launcher::join::MountSyntax>(data[0] % 3);
    const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
    const auto mounts = launcher::join::parse_mounts({syntax, text}, "/cwd");
    if (!mounts) {
        if (mounts.error().one_line().empty()) {
            std::abort();
        }
        return 0;
    }
    if (syntax == launcher::join::MountSyntax::pyxis) {
        // What srun hands on means to the node what it meant to srun.
        const auto absolute = launcher::join::absolute_mounts(text, "/cwd");
        const auto again = launcher::join::parse_mounts({syntax, absolute.value_or("")}, "/elsewhere");
        if (absolute && (!again || again->size() != mounts->size())) {
            std::abort();
        }
        for (std::size_t i = 0; absolute && i < mounts->size(); ++i) {
            if ((*again)[i].source != (*mounts)[i].source ||
                (*again)[i].target != (*mounts)[i].target ||
                (*again)[i].readonly != (*mounts)[i].readonly) {
                std::abort();
            }
        }
    }
    for (const auto& mount : *mounts) {
        const bool tmpfs = mount.kind == launcher::join::MountSpec::Kind::tmpfs;
        if (tmpfs != mount.source.empty() || (!tmpfs && mount.source.front() != '/') ||
            mount.target.front() != '/' || mount.target == "/" || base::has_dotdot(mount.target) ||
            base::is_beneath(mount.target, "/proc") || mount.target == "/sys" ||
            mount.target == "/dev") {
            std::abort();
        }
    }
    return 0;
}
