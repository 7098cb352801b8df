#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What the service keeps of many images: nothing.
# shellcheck disable=SC2154

bats_require_minimum_version 1.5.0
load common

@test "after a thousand good and a thousand hostile images the service is as small as at its start" {
    run -0 "$HERE/service/many_images.py" "$SLIPWAY_BUILD/bin/slipwayd" 1000 1000
    expect_output 'resident memory'
}
