#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What the service keeps of many images: nothing. What images that are made for it can take: what the site allows.
# shellcheck disable=SC2154

bats_require_minimum_version 1.5.0
load common

@test "after a thousand good and a thousand hostile images the service is as small as at its start" {
    run -0 "$HERE/service/many_images.py" "$SLIPWAY_BUILD/bin/slipwayd" 1000 1000
    expect_output 'resident memory'
}

@test "a service with little memory outlives images that cost more, and serves others meanwhile" {
    run -0 "$HERE/service/short_of_memory.py" "$SLIPWAY_BUILD/bin/slipwayd" "$(hostile_layouts)"
    expect_lines 1 '^ok own limit$'
}

@test "slipway build ends with one error, and in bounded memory, on images that cost a gigabyte" {
    local name dir layouts
    dir=$(work_dir)
    layouts=$(hostile_layouts)
    for name in deep attributes; do
        # A store of its own: that of the cluster is the service's, and root would make it theirs.
        run peak_of env SLIPWAY_CACHEDIR="$dir/store" slipway build "$dir/out.sif" "oci:$layouts/$name"
        expect_status 255
        expect_lines 1 'slipway: error: '
        expect_lines 1 'slipway: error: limit-exceeded: .*\(hint: '
        [ ! -e "$dir/out.sif" ]
        # convert.memory (512 MiB) holds for the tree; code, stacks and buffers come on top.
        [ "$(sed -n 's/^peak=//p' <<<"$output")" -lt 640 ] || { echo "$output"; return 1; }
    done
}
