// SPDX-License-Identifier: Apache-2.0
#include "prefetch/convert/contract.hpp"

#include <algorithm>

#include <sched.h>

namespace slipway::prefetch::convert {

NativeParts native_parts(const image::NativeSource& source, const image::ImageConfig& config) {
    NativeParts out;
    out.deffile = image::deffile_text(source);
    out.inspect_metadata = image::inspect_metadata_text(source, config);
    out.oci_config = config.config_json();
    out.architecture = config.platform.architecture.empty() ? image::host_platform().architecture
                                                            : config.platform.architecture;
    out.time = static_cast<std::uint32_t>(
        std::clamp<std::int64_t>(config.created_seconds().value_or(0), 0, UINT32_MAX));
    out.tree = image::native_tree(source, config);
    return out;
}

unsigned thread_count(const ConvertOptions& options) noexcept {
    cpu_set_t set;
    if (options.threads != 0) {
        return options.threads;
    }
    return sched_getaffinity(0, sizeof set, &set) == 0
               ? static_cast<unsigned>(std::max(1, CPU_COUNT(&set)))
               : 1;
}

} // namespace slipway::prefetch::convert
