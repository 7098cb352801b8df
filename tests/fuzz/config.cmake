# SPDX-License-Identifier: Apache-2.0
slipway_add_fuzz(config SOURCES config.cpp LIBS slipway_config)
