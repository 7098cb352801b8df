# SPDX-License-Identifier: Apache-2.0
slipway_add_fuzz(env_script SOURCES env_script.cpp LIBS slipway_launcher)
