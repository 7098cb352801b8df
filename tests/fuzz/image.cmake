# SPDX-License-Identifier: Apache-2.0
foreach(target IN ITEMS sif image_reference oci_document)
    slipway_add_fuzz(${target} SOURCES ${target}.cpp LIBS slipway_image)
endforeach()
