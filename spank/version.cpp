// SPDX-License-Identifier: Apache-2.0
// Slurm loads a plugin only when its plugin_version has the major and minor number of the running
// release; the rest of the number is free. The callbacks and structures that this plugin uses are
// the same in all releases from 22.05 on, so one core and this one constant make a plugin for each.
#if !defined(SLIPWAY_SLURM_MAJOR) || !defined(SLIPWAY_SLURM_MINOR)
#error "the build defines the Slurm release, without leading zeros (spank/CMakeLists.txt)"
#endif

extern "C" {
[[gnu::visibility("default")]] extern const unsigned int plugin_version =
    (unsigned{SLIPWAY_SLURM_MAJOR} << 16U) | (unsigned{SLIPWAY_SLURM_MINOR} << 8U);
}
