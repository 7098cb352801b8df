#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Four nodes, three users, five images, twenty jobs at once, on a cluster of its own: everything is
# fetched once and every job is right, also when the service is killed in the middle.
# shellcheck disable=SC2154

bats_require_minimum_version 1.5.0
load common

IMAGES=5
JOBS=20

# A small image of its own for every number, sharing no layer with the others.
make_image() {
    local number=$1 dir=$BATS_FILE_TMPDIR/image$1
    mkdir -p "$dir"
    "$CLUSTER/rootfs" busybox "$dir/root" >/dev/null
    echo "$number" >"$dir/root/etc/which"
    head -c 12000000 /dev/urandom >"$dir/root/etc/ballast"
    umoci init --layout "$dir/layout"
    umoci new --image "$dir/layout:latest"
    umoci insert --image "$dir/layout:latest" "$dir/root" /
    skopeo --insecure-policy copy --quiet --dest-tls-verify=false \
        "oci:$dir/layout:latest" "docker://$REGISTRY/load$number:1" >&2
}

setup_file() {
    need_plugin
    ENV_FILE=$("$CLUSTER/up" --build "$SLIPWAY_BUILD" --nodes 4)
    export ENV_FILE
    use_cluster "$ENV_FILE"
    "$CLUSTER/service" up "$CLUSTER_DIR"
    local number
    for ((number = 1; number <= IMAGES; number++)); do make_image "$number"; done
}

teardown_file() {
    [ -n "${ENV_FILE:-}" ] || return 0
    use_cluster "$ENV_FILE"
    "$CLUSTER/service" down "$CLUSTER_DIR"
    "$CLUSTER/down" "$ENV_FILE"
}

setup() {
    need_plugin
    use_cluster "$ENV_FILE"
    LOG=$CLUSTER_DIR/log/registry.out
    MARK=$(wc -l <"$LOG")
}

submit_all() {
    local job number users=("$ALICE" "$BOB" games)
    PIDS=()
    for ((job = 0; job < JOBS; job++)); do
        number=$((job % IMAGES + 1))
        as "${users[job % 3]}" srun -N1 --chdir=/ --container-image="docker://$REGISTRY/load$number:1" \
            cat /etc/which >"$BATS_TEST_TMPDIR/out$job" 2>"$BATS_TEST_TMPDIR/err$job" &
        PIDS+=($!)
    done
}

check_all() {
    local job
    for ((job = 0; job < JOBS; job++)); do
        wait "${PIDS[job]}" || { cat "$BATS_TEST_TMPDIR/err$job"; return 1; }
        [ "$(<"$BATS_TEST_TMPDIR/out$job")" = $((job % IMAGES + 1)) ]
    done
}

# Blobs that the registry has sent more than once since MARK.
sent_twice() {
    tail -n "+$((MARK + 1))" "$LOG" | grep -oE 'GET /v2/load[0-9]/blobs/sha256:[0-9a-f]+' | sort | uniq -d
}

@test "twenty jobs of three users: every blob once, every image once, every job right" {
    submit_all
    check_all
    sleep 0.5
    [ "$(tail -n "+$((MARK + 1))" "$LOG" | grep -cE 'GET /v2/load[0-9]/blobs/')" -gt 0 ]
    [ -z "$(sent_twice)" ]
    [ "$(find "$CLUSTER_DIR/store/images" -name '*.sif' | wc -l)" -eq "$IMAGES" ]
    run -0 curl -s --unix-socket "$CLUSTER_DIR/run/slipwayd.sock" http://localhost/metrics
    expect_lines 1 "^slipway_images_staged_total $IMAGES\$"
    wait_for 10 cluster_idle
}

@test "the same with the service killed in the middle and started again" {
    "$CLUSTER/service" down "$CLUSTER_DIR"
    rm -rf "$CLUSTER_DIR"/store/images/* "$CLUSTER_DIR"/store/refs/*
    "$CLUSTER/service" up "$CLUSTER_DIR"
    submit_all
    # As soon as the registry is asked for a layer: work has begun.
    wait_for 20 bash -c "tail -n +$((MARK + 1)) '$LOG' | grep -q 'GET /v2/load[0-9]/blobs/'"
    "$CLUSTER/service" kill "$CLUSTER_DIR"
    "$CLUSTER/service" up "$CLUSTER_DIR"
    check_all
    [ "$(find "$CLUSTER_DIR/store/images" -name '*.sif' | wc -l)" -eq "$IMAGES" ]
    nothing_unfinished() { [ -z "$(find "$CLUSTER_DIR/store/tmp" "$CLUSTER_DIR/store/leases" -mindepth 1)" ]; }
    wait_for 10 nothing_unfinished
    wait_for 10 cluster_idle
}
