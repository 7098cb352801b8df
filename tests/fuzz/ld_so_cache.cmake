# SPDX-License-Identifier: Apache-2.0
slipway_add_fuzz(ld_so_cache SOURCES ld_so_cache.cpp LIBS slipway_devices)
