// SPDX-License-Identifier: Apache-2.0
#pragma once

// The only place that includes fmt. base carries fmt's few compiled functions itself
// (fmt_compiled.cpp): Debian has no static libfmt, and the Slurm plugin may link nothing but libc.
#include <fmt/core.h>
