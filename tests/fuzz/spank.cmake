# SPDX-License-Identifier: Apache-2.0
slipway_add_fuzz(spank_options SOURCES spank_options.cpp LIBS slipway_spank)
slipway_add_fuzz(join_codec SOURCES join_codec.cpp LIBS slipway_launcher_join)
