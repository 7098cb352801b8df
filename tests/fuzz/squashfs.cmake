# SPDX-License-Identifier: Apache-2.0
slipway_add_fuzz(squashfs_superblock SOURCES squashfs_superblock.cpp LIBS slipway_squashfs)
slipway_add_fuzz(squashfs_image SOURCES squashfs_image.cpp LIBS slipway_squashfs_reader)
