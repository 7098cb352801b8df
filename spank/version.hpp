// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Slurm loads a plugin only when its plugin_version has the major and minor number of the running
/// release; the rest of the number is free. The callbacks and structures that this plugin uses are
/// the same in all releases from 22.05 on, so one core and this one constant make a plugin for
/// each.
#define SLIPWAY_FOR_SLURM(major, minor)                                                            \
    extern "C" {                                                                                   \
    [[gnu::visibility("default")]] extern const unsigned int plugin_version =                      \
        ((major##U << 16U) | (minor##U << 8U));                                                    \
    }
