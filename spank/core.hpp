// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

struct spank_handle;

namespace slipway::spank {

/// File name of the core, in the directory of the front.
inline constexpr const char* core_file = "spank_slipway_core.so";

/// Name of the one symbol that the core exports: a CoreCalls.
inline constexpr const char* core_symbol = "slipway_core";

/// Changes with CoreCalls, so that halves of two releases never call each other wrongly.
inline constexpr std::uint32_t core_interface = 1;

/// The callbacks as the front (front.cpp) hands them on to the core (core.cpp), from the first
/// trace of a container on. Handle, count and arguments are those that Slurm gave the front; none
/// may throw; the results are for Slurm.
struct CoreCalls {
    std::uint32_t interface; ///< first, whatever else changes
    void (*option)(int value, const char* argument);
    /// A component of a heterogeneous job went by before the core was loaded: it asked for nothing.
    void (*plain_component)();
    int (*init_post_opt)(spank_handle* handle, int count, char** arguments);
    int (*user_init)();
    int (*task_init_privileged)(spank_handle* handle);
    int (*task_init)(spank_handle* handle);
    int (*task_exit)(spank_handle* handle);
    int (*exit)(spank_handle* handle);
};

} // namespace slipway::spank
