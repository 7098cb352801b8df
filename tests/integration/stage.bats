#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Images from a registry without a service: every user stages in his own process, into his own store.
# shellcheck disable=SC2154

bats_require_minimum_version 1.5.0
load common

setup_file() {
    "$CLUSTER/push-images" "$CLUSTER_DIR" busybox debian-py >/dev/null
    LOG=$CLUSTER_DIR/log/registry.out
    STORES=$(work_dir)
    export LOG STORES
}

setup() {
    need_plugin
    [ -n "$REGISTRY" ] || skip "this cluster has no registry"
    # A store of its own for every test, on what all nodes see.
    STORE=$STORES/$BATS_TEST_NUMBER
    BUSYBOX=docker://$REGISTRY/busybox:1
    PYTHON=docker://$REGISTRY/debian-py:1
}

slip() { alice env -C "$STORES" SLIPWAY_CACHEDIR="$STORE" slipway "$@"; }
# srun as Alice with her own store.
sr() { alice env -C "$STORES" SLIPWAY_CACHEDIR="$STORE" srun "$@"; }

nothing_unfinished() { [ -z "$(find "$STORE/tmp" "$STORE/leases" -mindepth 1 2>/dev/null)" ]; }

mark() { MARK=$(wc -l <"$LOG"); }
# requests METHOD PATH-REGEX: how many the registry has seen since mark.
requests() { tail -n "+$((MARK + 1))" "$LOG" | grep -cE "\"$1 [^\"]*$2|method=$1 .*uri=\"[^\"]*$2" || true; }

@test "an image of a registry runs on two nodes and is fetched once" {
    mark
    run -0 sr -N2 -n4 --container-image="$PYTHON" python3 -c 'import os,sys; print(os.uname()[1], sys.version_info[0])'
    expect_lines 4 ' 3$'
    sleep 0.3
    local blobs
    blobs=$(requests GET '/blobs/')
    [ "$blobs" -gt 0 ]
    mark
    run -0 sr -N2 -n4 --container-image="$PYTHON" true
    sleep 0.3
    [ "$(requests GET '')" -eq 0 ]
    [ "$(requests HEAD '')" -le 1 ]
}

@test "stage prints what a job can be pinned to, and that needs no registry" {
    run -0 --separate-stderr slip stage "$BUSYBOX"
    local pinned=${lines[0]} path=${lines[1]}
    [[ $pinned == docker://"$REGISTRY"/busybox:1@sha256:* ]]
    [ -f "$path" ]
    mark
    run -0 --separate-stderr slip stage --print-path "$pinned"
    [ "$output" = "$path" ]
    sleep 0.3
    [ "$(requests '(GET|HEAD)' '')" -eq 0 ]
}

@test "slipway exec runs an image of a registry" {
    run -0 --separate-stderr slip exec "$BUSYBOX" echo hello
    [ "$output" = hello ]
}

@test "pull makes a file that runs, overwrites only when told, and leaves nothing half done" {
    local dir
    dir=$(work_dir)
    run -0 alice env -C "$dir" SLIPWAY_CACHEDIR="$STORE" slipway pull b.sif "$BUSYBOX"
    run -0 --separate-stderr slip exec "$dir/b.sif" echo hi
    [ "$output" = hi ]
    run alice env -C "$dir" SLIPWAY_CACHEDIR="$STORE" slipway pull b.sif "$BUSYBOX"
    expect_status 255
    expect_output 'image-exists: .*--force'
    run -0 alice env -C "$dir" SLIPWAY_CACHEDIR="$STORE" slipway pull -F b.sif "$BUSYBOX"
    [ "$(ls "$dir")" = b.sif ]
}

@test "the same image twice gives the same bytes" {
    run -0 slip stage "$PYTHON"
    local first
    first=$(sha256sum <"$(ls "$STORE"/images/*.sif)")
    rm -rf "$STORE"
    run -0 slip stage "$PYTHON"
    [ "$first" = "$(sha256sum <"$(ls "$STORE"/images/*.sif)")" ]
}

@test "two processes that want one image share the work" {
    mark
    slip stage "$PYTHON" >"$STORES/one" 2>&1 &
    local first=$!
    run -0 slip stage "$PYTHON"
    wait "$first"
    sleep 0.3
    local blobs
    blobs=$(tail -n "+$((MARK + 1))" "$LOG" | grep -oE 'GET /v2/debian-py/blobs/sha256:[0-9a-f]+' | sort | uniq -c | awk '$1 > 2')
    [ -z "$blobs" ]
    [ "$(ls "$STORE"/images/*.sif | wc -l)" -eq 1 ]
    nothing_unfinished
}

@test "a killed stage is taken over and what it left is swept" {
    slip stage "$PYTHON" >/dev/null 2>&1 &
    local child=$!
    wait_for 20 bash -c "[ -n \"\$(ls '$STORE/tmp')\" ]"
    pkill -KILL -u "$ALICE" -x slipway-images || true
    wait "$child" || true
    run -0 slip stage "$PYTHON"
    nothing_unfinished
    run -0 slip cache fsck
    expect_output '^0 problem'
}

@test "Ctrl-C stops at once and leaves nothing" {
    slip stage "$PYTHON" >/dev/null 2>&1 &
    wait_for 20 pgrep -u "$ALICE" -x slipway-images
    pkill -INT -u "$ALICE" -x slipway-images
    local rc=0
    wait $! || rc=$?
    # It may have been done before the signal came.
    [[ $rc -eq 130 || $rc -eq 0 ]]
    nothing_unfinished
}

@test "JSON lines tell the whole story" {
    run -0 --separate-stderr slip stage --json "$BUSYBOX"
    jq -e . <<<"${lines[0]}"
    jq -e 'select(.event == "ready") | .path and .digest' <<<"${lines[-1]}"
}

@test "images and cache show and clean the store" {
    run -0 slip stage "$BUSYBOX"
    run -0 slip images
    expect_output "docker://$REGISTRY/busybox:1"
    run -0 --separate-stderr slip images --json
    jq -e '.[0].digest | startswith("sha256:")' <<<"$output"
    run -0 slip cache list
    expect_output 'There are 1 image'
    run -0 slip cache clean -f
    [ -z "$(ls "$STORE/images")" ]
}

@test "every failure is one clear line, the store is unchanged and nothing ran" {
    local case
    while read -r case want; do
        run slip stage "$case"
        [ "$status" -ne 0 ] || { echo "$case did not fail"; return 1; }
        expect_lines 1 'slipway: error: '
        expect_output "error: $want: .*"
        nothing_unfinished
        [ -z "$(find "$STORE/images" -type f 2>/dev/null)" ]
    done <<END
docker://$REGISTRY/nosuch:1 source-not-found
docker://$REGISTRY/busybox:nosuch source-not-found
docker://127.0.0.1:1/busybox:1 source-unreachable
docker://$REGISTRY/BUSYBOX:1 reference-invalid
dokcer://$REGISTRY/busybox reference-invalid
oci:/nonexistent source-not-found
END
    run slip stage --platform linux/arm64 "$BUSYBOX"
    expect_status 255
    expect_output 'platform-mismatch'
    run sr --container-image="docker://$REGISTRY/busybox:nosuch" touch "$STORES/ran"
    expect_failure
    expect_output 'source-not-found'
    [ ! -e "$STORES/ran" ]
    wait_for 10 cluster_idle
}

@test "a full or forbidden store is a clear error" {
    [ -w /proc/sys/kernel/hostname ] || skip "needs the right to mount"
    local full=$STORES/full
    mkdir -p "$full"
    mount -t tmpfs -o size=1m,mode=777 none "$full"
    run alice env SLIPWAY_CACHEDIR="$full/store" slipway stage "$PYTHON"
    umount "$full"
    expect_status 255
    expect_output 'error: (out-of-space|store-unusable): '
    run alice env SLIPWAY_CACHEDIR=/proc/nostore slipway stage "$BUSYBOX"
    expect_status 255
    expect_output 'error: store-unusable: '
}
