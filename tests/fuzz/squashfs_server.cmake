# SPDX-License-Identifier: Apache-2.0
slipway_add_fuzz(squashfs_server SOURCES squashfs_server.cpp LIBS slipway_squashfs_server)
