#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Images that need a user's own credentials: for that user they work everywhere, for others nowhere, and
# the credentials stay in the user's own process. On a cluster of its own with a private registry.
# shellcheck disable=SC2154

bats_require_minimum_version 1.5.0
load common

setup_file() {
    need_plugin
    ENV_FILE=$("$CLUSTER/up" --build "$SLIPWAY_BUILD" --nodes 2 --no-registry)
    SECRETS=$BATS_FILE_TMPDIR/secrets WRONG=$BATS_FILE_TMPDIR/wrong
    export ENV_FILE SECRETS WRONG
    use_cluster "$ENV_FILE"
    local password
    password=$(tr -dc a-z </dev/urandom | head -c 24)
    PRIVATE=$("$CLUSTER/registry-up" "$CLUSTER_DIR" --tls --auth "alice:$password")
    export PRIVATE
    # Not into the environment of everything that this cluster starts.
    sed -i '/REGISTRY_AUTH/d' "$ENV_FILE"
    (umask 077; printf '%s\n' "$password" "$(auth_of "alice:$password")" >"$SECRETS")
    password=$(tr -dc a-z </dev/urandom | head -c 24)
    (umask 077; printf '%s\n' "$password" "$(auth_of "alice:$password")" >"$WRONG")
    push_private
    "$CLUSTER/service" up "$CLUSTER_DIR"
    install -d -m 777 "$CLUSTER_DIR/work"
}

teardown_file() {
    [ -n "${ENV_FILE:-}" ] || return 0
    variables
    rmdir --ignore-fail-on-non-empty "$(home)/.docker" 2>/dev/null || true
    "$CLUSTER/service" kill "$CLUSTER_DIR"
    "$CLUSTER/down" "$ENV_FILE"
}

variables() {
    use_cluster "$ENV_FILE"
    IMAGE=docker://$PRIVATE/secret/app:1
    FIND=$HERE/service/find_secret.py
}

setup() {
    need_plugin
    variables
    CACHE=$(work_dir)/store
    LOGIN=$(home)/.slipway-test-login
}

teardown() {
    local pid
    for pid in ${WATCH:-} ${CAUGHT:-}; do
        kill "$pid" && kill -CONT "$pid" || true
    done
    rm -f "$(home)/.docker/config.json" "$LOGIN"
}

auth_of() { printf %s "$1" | base64 -w0; }
home() { getent passwd "$ALICE" | cut -d: -f6; }

# docker's file with the given auth string, as `docker login` writes it.
log_in() { # FILE-WITH-SECRETS PATH OWNER
    install -d -o "$3" -m 700 "$(dirname "$2")"
    (umask 077; printf '{"auths":{"%s":{"auth":"%s"}}}\n' "$PRIVATE" "$(sed -n 2p "$1")" >"$2")
    chown "$3" "$2"
}

alice_logs_in() { log_in "${1:-$SECRETS}" "$(home)/.docker/config.json" "$ALICE"; }

# A program of Alice's that runs another one with Alice's login in its environment.
log_in_by_environment() {
    (umask 077; printf '#!/bin/sh\nexport SLIPWAY_CACHEDIR=%q SLIPWAY_DOCKER_USERNAME=alice SLIPWAY_DOCKER_PASSWORD=%q\nexec "$@"\n' \
        "$CACHE" "$(sed -n 1p "$SECRETS")" >"$LOGIN")
    chmod 700 "$LOGIN"
    chown "$ALICE" "$LOGIN"
}

# An image with enough in it that staging it takes a while.
push_private() {
    local dir=$BATS_FILE_TMPDIR/image
    mkdir -p "$dir/certs"
    "$CLUSTER/rootfs" busybox "$dir/root" >/dev/null
    echo private >"$dir/root/etc/which"
    head -c 60000000 /dev/urandom >"$dir/root/etc/ballast"
    umoci init --layout "$dir/layout"
    umoci new --image "$dir/layout:latest"
    umoci insert --image "$dir/layout:latest" "$dir/root" /
    cp "$CLUSTER_DIR/registry-tls/ca.pem" "$dir/certs/ca.crt"
    log_in "$SECRETS" "$dir/auth/config.json" root
    skopeo --insecure-policy copy --quiet --dest-cert-dir "$dir/certs" --authfile "$dir/auth/config.json" \
        "oci:$dir/layout:latest" "docker://$PRIVATE/secret/app:1" >&2
    rm -rf "$dir"
}

# alice_slipway and sr: slipway and srun as Alice, with a store of this test.
alice_slipway() { alice env -C / SLIPWAY_CACHEDIR="$CACHE" slipway "$@"; }
sr() { alice env -C / SLIPWAY_CACHEDIR="$CACHE" srun "$@"; }

# Everything that the shared store holds, with size and owner.
shared_store() { find "$CLUSTER_DIR/store" -mindepth 1 -printf '%P %s %u\n' | sort; }

daemons() { cat "$CLUSTER_DIR"/run/{slipwayd,slurmctld,sw*}.pid; }

# Where nobody may find Alice's credentials: everything that the cluster and Slurm keep, and the own store.
places() { printf '%s\n' "$CLUSTER_DIR"/{log,store,state,nodes,run,etc} "$@"; }

search() { python3 "$FIND" "$@"; }

begin_watch() {
    python3 "$FIND" watch "$1" >"$BATS_TEST_TMPDIR/watch" 2>&1 3>&- &
    WATCH=$!
    wait_for 20 grep -q holding "$BATS_TEST_TMPDIR/watch"
}

end_watch() {
    kill "$WATCH"
    wait "$WATCH" || true
    WATCH=
    output=$(<"$BATS_TEST_TMPDIR/watch")
}

@test "the search finds what is there" {
    local plant=$BATS_TEST_TMPDIR/plant pids
    mkdir "$plant"
    head -c 3000000 /dev/zero >"$plant/file"
    cat "$SECRETS" >>"$plant/file"
    run -1 search files "$SECRETS" "$plant"
    expect_lines 2 '^/.*/file: secret [01]$'
    rm -r "$plant"
    begin_watch "$SECRETS"
    # They live until they have been found, however slow the machine is.
    env "PLANTED=$(sed -n 1p "$SECRETS")" sleep 600 3>&- &
    pids=($!)
    bash -c 'while sleep 0.1; do :; done' _ "x$(sed -n 2p "$SECRETS")" 3>&- &
    pids+=($!)
    both_seen() { grep -q '^environ of sleep' "$BATS_TEST_TMPDIR/watch" && grep -q '^cmdline of bash' "$BATS_TEST_TMPDIR/watch"; }
    wait_for 60 both_seen
    run -1 search memory "$SECRETS" "${pids[1]}"
    expect_output "^memory of ${pids[1]} bash: secret 1"
    kill "${pids[@]}"
    end_watch
    expect_lines 1 '^environ of sleep: secret 0$'
    expect_lines 1 '^cmdline of bash: secret 1$'
}

@test "the user's own login makes the image work in srun, sbatch, exec and stage" {
    alice_logs_in
    run -0 sr -N2 -n2 --container-image="$IMAGE" cat /etc/which
    expect_lines 2 '^private$'
    run -0 alice env SLIPWAY_CACHEDIR="$CACHE" sbatch --wait -N2 -o "$CACHE.out" --container-image="$IMAGE" \
        --wrap 'srun cat /etc/which'
    run cat "$CACHE.out"
    expect_lines 2 '^private$'
    run -0 --separate-stderr alice_slipway exec "$IMAGE" cat /etc/which
    [ "$output" = private ]
    CACHE+=2
    run -0 --separate-stderr alice_slipway stage --print-path "$IMAGE"
    [[ $output == "$CACHE"/images/*.sif && -f $output ]]
}

@test "name and password in the environment work too, and stay out of the tasks" {
    log_in_by_environment
    begin_watch "$SECRETS"
    run -0 alice "$LOGIN" srun -N2 -n2 --container-image="$IMAGE" sh -c 'cat /etc/which; env; sleep 1'
    expect_lines 2 '^private$'
    refuse_output 'DOCKER_PASSWORD'
    run -0 alice "$LOGIN" slipway exec "$IMAGE" sh -c 'cat /etc/which; env; sleep 1'
    expect_lines 1 '^private$'
    refuse_output 'DOCKER_PASSWORD'
    end_watch
    # The user's own commands have what the user gave them. Nobody else has: not the tasks.
    expect_lines 1 '^environ of srun: secret 0$'
    expect_lines 1 '^environ of slipway-images: secret 0$'
    output=$(grep -vE '^(holding|rounds [0-9]+|environ of (srun|slipway|slipway-stagec|slipway-images): secret 0)$' <<<"$output" || true)
    [ -z "$output" ] || { echo "$output"; return 1; }
    mapfile -t where < <(places)
    run -0 search files "$SECRETS" "${where[@]}"
    mapfile -t pids < <(daemons)
    run -0 search memory "$SECRETS" "${pids[@]}"
    expect_output 'searched slipwayd slurmctld slurmd slurmd'
}

@test "for another user there is no such image" {
    alice_logs_in
    run -0 --separate-stderr alice_slipway stage --print-path "$IMAGE"
    local sif=$output before
    before=$(shared_store)
    run bob srun --container-image="$IMAGE" touch "$CLUSTER_DIR/work/ran"
    expect_status 1
    expect_lines 1 'slipway: error: '
    expect_lines 1 'slipway: error: source-denied: .*\(hint: '
    [ ! -e "$CLUSTER_DIR/work/ran" ]
    # Nor by its digest, nor by its file.
    run bob srun --container-image="${IMAGE%:1}@sha256:$(printf '0%.0s' {1..64})" touch "$CLUSTER_DIR/work/ran"
    expect_output 'slipway: error: source-denied: '
    run bob cat "$sif"
    expect_output 'Permission denied'
    run bob ls "$CACHE"
    expect_output 'Permission denied'
    run bob srun --container-image="$sif" touch "$CLUSTER_DIR/work/ran"
    expect_failure
    expect_output 'slipway: error: image-[a-z]+: .*Permission denied.*\(hint: '
    run bob slipway exec "$sif" touch "$CLUSTER_DIR/work/ran"
    expect_status 255
    [ ! -e "$CLUSTER_DIR/work/ran" ]
    # The store that all share knows nothing of it, by name or content.
    [ "$(shared_store)" = "$before" ]
    run ! grep -rqF secret/app "$CLUSTER_DIR/store"
    run ! test -e "$CLUSTER_DIR/store/images/$(basename "$sif")"
    run bob curl -s --unix-socket "$CLUSTER_DIR/run/slipwayd.sock" http://localhost/v1/images
    [ "$(jq '.images | length' <<<"$output")" = 0 ]
}

@test "the credentials are nowhere but in the user's own process" {
    alice_logs_in
    begin_watch "$SECRETS"
    python3 "$FIND" catch "$SECRETS" slipway-images "SLIPWAY_CACHEDIR=$CACHE" >"$BATS_TEST_TMPDIR/caught" 3>&- &
    local catcher=$! job where
    wait_for 20 grep -q holding "$BATS_TEST_TMPDIR/caught"
    # The step lives until it has been searched.
    sr -N2 -n2 --container-image="$IMAGE" sh -c "cat /etc/which; until [ -e $CACHE.searched ]; do sleep 0.2; done" \
        >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
    job=$!
    # The process that has them, stopped while it has them, and found by the search.
    wait "$catcher"
    CAUGHT=$(tail -n 1 "$BATS_TEST_TMPDIR/caught")
    run -1 search memory "$SECRETS" "$CAUGHT"
    mapfile -t pids < <(daemons)
    run -0 search memory "$SECRETS" "${pids[@]}"
    expect_output 'searched slipwayd slurmctld slurmd slurmd'
    # Of all others only that process may have them.
    mapfile -t pids < <(pgrep -u "$ALICE" -x srun)
    run -0 search memory "$SECRETS" "${pids[@]}"
    kill -CONT "$CAUGHT"
    CAUGHT=
    # While the step runs.
    wait_for 60 grep -q private "$BATS_TEST_TMPDIR/out"
    mapfile -t pids < <(daemons; step_daemons; pgrep -u "$ALICE" -x 'sh|sleep|srun|slipway-launch|slipway-server')
    run -0 search memory "$SECRETS" "${pids[@]}"
    expect_output 'searched .*sh .*slipway-launch .*slipwayd slurmctld slurmd slurmd .*slurmstepd .*srun'
    (scontrol show job -dd; scontrol show step -dd; scontrol show config) >"$CLUSTER_DIR/work/scontrol"
    touch "$CACHE.searched"
    wait "$job"
    end_watch
    expect_lines 1 '^rounds [1-9]'
    refuse_output 'secret'
    # What lies around afterwards: logs, state and spool of Slurm, the shared store, the user's own one.
    mapfile -t where < <(places "$CACHE" "$BATS_TEST_TMPDIR")
    run -0 search files "$SECRETS" "${where[@]}"
    # The image itself, unpacked.
    local sif
    sif=$(find "$CACHE/images" -name '*.sif')
    alice_slipway exec --contain "$sif" sh -c 'find /.singularity.d /etc -type f -exec cat {} +' >"$CLUSTER_DIR/work/inside"
    [ "$(stat -c %s "$CLUSTER_DIR/work/inside")" -gt 60000000 ]
    run -0 alice_slipway inspect --all "$sif"
    expect_output '.'
    printf '%s\n' "$output" >"$CLUSTER_DIR/work/inspect"
    run -0 search files "$SECRETS" "$CLUSTER_DIR/work"
}

@test "all messages of the program tell nothing" {
    alice_logs_in
    run -0 alice_slipway --debug stage "$IMAGE"
    printf '%s\n' "$output" >"$CLUSTER_DIR/work/debug"
    CACHE+=2
    log_in_by_environment
    run -0 alice "$LOGIN" slipway --verbose stage --json "$IMAGE"
    printf '%s\n' "$output" >"$CLUSTER_DIR/work/verbose"
    run -0 search files "$SECRETS" "$CLUSTER_DIR/work"
}

@test "a wrong password is one clear error, and it is not shown" {
    alice_logs_in "$WRONG"
    local before
    before=$(shared_store)
    begin_watch "$WRONG"
    run sr --container-image="$IMAGE" touch "$CLUSTER_DIR/work/ran"
    end_watch_of=$output end_watch_status=$status
    end_watch
    refuse_output 'secret'
    output=$end_watch_of status=$end_watch_status
    expect_status 1
    expect_lines 1 'slipway: error: '
    expect_lines 1 'slipway: error: source-denied: .*\(hint: '
    run alice_slipway --debug stage "$IMAGE"
    expect_status 255
    expect_lines 1 'slipway: error: source-denied: .*\(hint: '
    printf '%s\n' "$output" "$end_watch_of" >"$CLUSTER_DIR/work/errors"
    [ ! -e "$CLUSTER_DIR/work/ran" ]
    [ "$(shared_store)" = "$before" ]
    [ -z "$(find "$CACHE/images" -type f 2>/dev/null)" ]
    mapfile -t where < <(places "$CLUSTER_DIR/work")
    run -0 search files "$WRONG" "${where[@]}"
    mapfile -t pids < <(daemons)
    run -0 search memory "$WRONG" "${pids[@]}"
    expect_output 'searched slipwayd slurmctld slurmd slurmd'
    wait_for 10 cluster_idle
}
