// SPDX-License-Identifier: Apache-2.0
#include "spank/version.hpp"

SLIPWAY_FOR_SLURM(25, 11)
