# SPDX-License-Identifier: Apache-2.0
slipway_add_fuzz(mount_spec SOURCES mount_spec.cpp LIBS slipway_launcher_join)
