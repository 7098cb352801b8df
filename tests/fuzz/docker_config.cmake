# SPDX-License-Identifier: Apache-2.0
slipway_add_fuzz(docker_config SOURCES docker_config.cpp LIBS slipway_prefetch_credentials)
