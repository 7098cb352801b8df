#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Users who abuse the service's socket while others work, and services that are none. On a cluster of
# its own: Bob and a third user attack, Alice works. What single bad requests get is tested by the
# units; here the real service has to stay as it was: same process, little memory, no descriptor lost.
# shellcheck disable=SC2154

bats_require_minimum_version 1.5.0
load common

MALLORY=games

setup_file() {
    need_plugin
    ENV_FILE=$("$CLUSTER/up" --build "$SLIPWAY_BUILD" --nodes 2)
    export ENV_FILE
    variables
    "$CLUSTER/push-images" "$CLUSTER_DIR" busybox >/dev/null
    install -d -m 777 "$CLUSTER_DIR/work" # where a task that ran on the host could leave its mark
    install -m 755 "$HERE"/service/abuse.py "$HERE"/service/fake_service.py "$CLUSTER_DIR/work/"
    # Two of Alice's clients meet services that say nothing for ever. That takes as long as clients
    # have patience, so it goes on beside the other tests; the last one looks at what became of them.
    install -d -o daemon -m 755 "$CLUSTER_DIR/run"
    fake silent
    (exec "$CLUSTER/as" "$ALICE" srun --container-image="docker://$REGISTRY/silent:1" \
        touch "$CLUSTER_DIR/work/ran") >"$BATS_FILE_TMPDIR/silent.out" 2>&1 3>&- &
    echo $! >"$BATS_FILE_TMPDIR/silent.pid"
    wait_for 20 grep -q called "$BATS_FILE_TMPDIR/fake.out"
    mv "$BATS_FILE_TMPDIR/fake.pid" "$BATS_FILE_TMPDIR/fake-silent.pid"
    rm "$SOCKET"
    # A client that the kernel keeps waiting looks at the name again and again: a socket of its own.
    sed "s|run/slipwayd.sock|run/full.sock|" "$SLIPWAY_CONFIG" >"$CLUSTER_DIR/etc/full.yaml"
    SOCKET=$CLUSTER_DIR/run/full.sock fake full
    mv "$BATS_FILE_TMPDIR/fake.pid" "$BATS_FILE_TMPDIR/fake-full.pid"
    (exec "$CLUSTER/as" "$ALICE" "$SLIPWAY_BUILD/libexec/slipway-stagec" \
        --config "$CLUSTER_DIR/etc/full.yaml" "docker://$REGISTRY/full:1") >"$BATS_FILE_TMPDIR/full.out" 2>&1 3>&- &
    echo $! >"$BATS_FILE_TMPDIR/full.pid"
    "$CLUSTER/service" up "$CLUSTER_DIR"
    alice srun --container-image="$BUSYBOX" true
}

teardown_file() {
    [ -n "${ENV_FILE:-}" ] || return 0
    variables
    local file
    for file in "$BATS_FILE_TMPDIR"/{silent,full,fake,fake-silent,fake-full}.pid; do
        [ ! -e "$file" ] || kill "$(<"$file")" 2>/dev/null || true
    done
    kill -CONT "$(<"$CLUSTER_DIR/run/registry.pid")"
    "$CLUSTER/service" kill "$CLUSTER_DIR"
    "$CLUSTER/down" "$ENV_FILE"
}

variables() {
    use_cluster "$ENV_FILE"
    SOCKET=$CLUSTER_DIR/run/slipwayd.sock
    BUSYBOX=docker://$REGISTRY/busybox:1
    PIT=$(grep -oE '127.0.0.1:[0-9]+' "$SLIPWAY_CONFIG" | tail -n 1)
}

setup() {
    need_plugin
    variables
    SERVICE=$(cat "$CLUSTER_DIR/run/slipwayd.pid" 2>/dev/null || true)
    START=$([ -z "$SERVICE" ] || descriptors)
    ATTACKS=()
}

teardown() {
    end_attacks
    [ ! -e "$BATS_FILE_TMPDIR/fake.pid" ] || unfake
}

# ---- attacks ----

# abuse USER ATTACK [ARGUMENT…]
abuse() { as "$1" python3 "$CLUSTER_DIR/work/abuse.py" "$2" "$SOCKET" "${@:3}"; }

# An attack that goes on until end_attacks; returns when it is at its height.
begin_attack() {
    local out=$BATS_TEST_TMPDIR/attack.$1.$2
    (exec "$CLUSTER/as" "$1" python3 "$CLUSTER_DIR/work/abuse.py" "$2" "$SOCKET" "${@:3}") >"$out" 2>&1 3>&- &
    ATTACKS+=($!)
    wait_for 30 grep -q holding "$out" || { cat "$out"; return 1; }
}

end_attacks() {
    local pid
    for pid in "${ATTACKS[@]}"; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" || true
    done
    ATTACKS=()
}

descriptors() { find "/proc/$SERVICE/fd" -mindepth 1 | wc -l; }
few_descriptors() { [ "$(descriptors)" -le "$START" ]; }
memory_kib() { awk '$1 == "VmHWM:" { print $2 }' "/proc/$SERVICE/status"; }

# The service is the same process and no larger than a sane one, now and at any time before.
unharmed() {
    [ "$(cat "$CLUSTER_DIR/run/slipwayd.pid")" = "$SERVICE" ] && kill -0 "$SERVICE"
    [ "$(memory_kib)" -lt 204800 ] || { echo "the service took $(memory_kib) KiB"; return 1; }
}

alice_works() {
    run -0 alice srun -N2 --container-image="${1:-$BUSYBOX}" cat /proc/self/comm
    expect_lines 2 '^cat$'
}

fake() {
    rm -f "$BATS_FILE_TMPDIR/fake.out" "$SOCKET"
    (exec python3 "$CLUSTER_DIR/work/fake_service.py" "$1" "$SOCKET" "${@:2}") >"$BATS_FILE_TMPDIR/fake.out" 2>&1 3>&- &
    echo $! >"$BATS_FILE_TMPDIR/fake.pid"
    wait_for 20 grep -q holding "$BATS_FILE_TMPDIR/fake.out"
}

unfake() {
    rm -f "$BATS_FILE_TMPDIR/fake.out" "$SOCKET"
    kill "$(<"$BATS_FILE_TMPDIR/fake.pid")" 2>/dev/null || true
    rm -f "$BATS_FILE_TMPDIR/fake.pid" "$SOCKET"
}

# What Alice's srun says about the service that is there: one error with code and hint, nothing ran.
alice_gets() {
    run alice srun --container-image="docker://$REGISTRY/none:1" touch "$CLUSTER_DIR/work/ran"
    reported_and_nothing_ran "$@"
}

reported_and_nothing_ran() {
    expect_failure
    expect_lines 1 'slipway: error: '
    expect_lines 1 "slipway: error: $1: .*\(hint: .*$2"
    [ ! -e "$CLUSTER_DIR/work/ran" ]
}

# ---- what users do to the service ----

@test "what drips, never ends, is too much or makes no sense is cut off while others are served" {
    begin_attack "$BOB" slow
    alice_works
    run -0 abuse "$MALLORY" oversize
    run -0 abuse "$MALLORY" malformed
    run -0 abuse "$MALLORY" unknown
    run -0 abuse "$MALLORY" many_keys 1
    alice_works
    wait "${ATTACKS[0]}" || { cat "$BATS_TEST_TMPDIR"/attack.*; return 1; }
    ATTACKS=()
    unharmed
    wait_for 10 few_descriptors
}

@test "nobody becomes somebody else by saying so" {
    local image
    image=$(basename "$(ls "$CLUSTER_DIR"/store/images/*.sif)" .sif)
    run -0 abuse "$BOB" forge "$image"
    [ -f "$CLUSTER_DIR/store/images/$image.sif" ]
    run -0 curl -s --unix-socket "$SOCKET" http://localhost/v1/images
    [ "$(jq '.images[] | select(.pinned)' <<<"$output")" = "" ]
    alice_works
    unharmed
}

@test "work of others can be neither seen nor ended" {
    local registry reference=docker://$REGISTRY/busybox:mine
    skopeo --insecure-policy copy -q --src-tls-verify=false --dest-tls-verify=false \
        "docker://$REGISTRY/busybox:1" "docker://$REGISTRY/busybox:mine"
    registry=$(<"$CLUSTER_DIR/run/registry.pid")
    kill -STOP "$registry" # Alice's work begins and cannot end
    alice srun --container-image="$reference" echo mine >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
    local job=$! rc=0
    began() { curl -s --unix-socket "$SOCKET" http://localhost/v1/images | jq -e ".work[] | select(.reference == \"$reference\") | select(.state == \"running\")"; }
    wait_for 20 began || rc=1
    run abuse "$BOB" work_of
    [[ $status -eq 0 && $output != *busybox:mine* ]] || rc=2
    run abuse "$BOB" guess "$reference" "$(began | jq -r .id)"
    [ "$status" -eq 0 ] || rc=6
    run abuse "$ALICE" work_of
    [[ $status -eq 0 && $output == *busybox:mine* ]] || rc=3
    run abuse "$BOB" cancel "$reference"
    [ "$status" -eq 0 ] || rc=4
    began >/dev/null || rc=5
    kill -CONT "$registry"
    wait "$job" || { cat "$BATS_TEST_TMPDIR/out"; return 1; }
    [ "$rc" -eq 0 ] || { echo "step $rc: $output"; return 1; }
    grep -qx mine "$BATS_TEST_TMPDIR/out"
    unharmed
    wait_for 10 few_descriptors
}

@test "users who hold all connections that they get leave some to others" {
    begin_attack "$BOB" idle 18000
    begin_attack "$MALLORY" idle 18000
    [ "$(descriptors)" -gt 4000 ]
    alice_works
    run -0 --separate-stderr curl -sf --unix-socket "$SOCKET" http://localhost/healthz
    [ "$output" = ok ]
    end_attacks
    unharmed
    wait_for 20 few_descriptors
}

@test "listeners that never read cost nothing" {
    begin_attack "$MALLORY" tarpit "${PIT##*:}"
    begin_attack "$BOB" deaf "docker://$PIT/deaf:1" 300
    alice_works
    unharmed
    end_attacks
    few_soon() { [ "$(descriptors)" -le $((START + 5)) ]; } # and those of the transfer, which goes on
    wait_for 10 few_soon
}

@test "images that fail are not remembered for ever" {
    local before
    before=$(memory_kib)
    run -0 abuse "$BOB" failing "docker://127.0.0.1:9" 10000
    [ $(($(memory_kib) - before)) -lt 32768 ] || { echo "$before KiB before, $(memory_kib) after"; return 1; }
    alice_works
    unharmed
}

@test "one user's images without end keep others from nothing" {
    skopeo --insecure-policy copy -q --src-tls-verify=false --dest-tls-verify=false \
        "docker://$REGISTRY/busybox:1" "docker://$REGISTRY/busybox:wanted"
    begin_attack "$MALLORY" tarpit "${PIT##*:}"
    # Behind a hundred images that never come Bob also asks for the one that Alice will want.
    run -0 abuse "$BOB" references "docker://$PIT" 100 "docker://$REGISTRY/busybox:wanted"
    alice_works "docker://$REGISTRY/busybox:wanted"
    run -0 abuse "$BOB" references_without_end "docker://$PIT" 2000
    alice_works
    unharmed
    # What is queued would go on for hours.
    end_attacks
    "$CLUSTER/service" kill "$CLUSTER_DIR"
    "$CLUSTER/service" up "$CLUSTER_DIR"
}

@test "images that cost a gigabyte end in one error each; the service stays small and serves others" {
    local layouts name pid port=$((${REGISTRY##*:} + 7)) pids=()
    layouts=$(hostile_layouts)
    "$HERE/layouts.py" serve "$layouts" "$port" >"$BATS_TEST_TMPDIR/port" 2>/dev/null 3>&- &
    ATTACKS+=($!)
    wait_for 20 grep -q "$port" "$BATS_TEST_TMPDIR/port"
    for name in deep attributes; do
        (exec "$CLUSTER/as" "$BOB" "$SLIPWAY_BUILD/libexec/slipway-stagec" --config "$SLIPWAY_CONFIG" \
            "docker://127.0.0.1:$port/$name:latest") >"$BATS_TEST_TMPDIR/$name" 2>&1 3>&- &
        pids+=($!)
    done
    alice_works "docker://127.0.0.1:$port/good1:latest"
    alice_works
    for pid in "${pids[@]}"; do
        if wait "$pid"; then echo "staged"; return 1; fi
    done
    for name in deep attributes; do
        output=$(<"$BATS_TEST_TMPDIR/$name")
        expect_lines 1 'slipway: error: '
        expect_lines 1 'slipway: error: limit-exceeded: .*\(hint: '
    done
    alice_works "docker://127.0.0.1:$port/good2:latest"
    unharmed
}

# restart [SETTING…]: the service again, with more settings of the store.
restart() {
    "$CLUSTER/service" down "$CLUSTER_DIR"
    sed -i '/^  # begin/,/^  # end/d' "$SLIPWAY_CONFIG"
    [ $# -eq 0 ] || { printf '  # begin\n'; printf '  %s\n' "$@"; printf '  # end\n'; } >"$BATS_TEST_TMPDIR/settings"
    [ $# -eq 0 ] || sed -i "/^store:/r $BATS_TEST_TMPDIR/settings" "$SLIPWAY_CONFIG"
    "$CLUSTER/service" up "$CLUSTER_DIR"
    SERVICE=$(<"$CLUSTER_DIR/run/slipwayd.pid")
}

# stage USER REFERENCE: through the service, as srun does it.
stage() { as "$1" "$SLIPWAY_BUILD/libexec/slipway-stagec" --config "$SLIPWAY_CONFIG" "$2"; }

staged_images() { find "$CLUSTER_DIR/store/images" -name '*.sif' | sort; }

@test "an image that only claims to be huge costs nobody an image that is there" {
    local port=$((${REGISTRY##*:} + 8)) layouts name before code claim
    layouts=$(work_dir)
    for name in 1 2 3; do "$HERE/layouts.py" good "$layouts/mine$name" "$name"; done
    # 4 TiB; a little below the quota; and what would fit if everything of others made room for it.
    "$HERE/layouts.py" claims "$layouts" 4398046511104 33550000 16000000
    "$HERE/layouts.py" serve "$layouts" "$port" >"$BATS_TEST_TMPDIR/port" 2>/dev/null 3>&- &
    ATTACKS+=($!)
    wait_for 20 grep -q "$port" "$BATS_TEST_TMPDIR/port"
    restart 'quota: 32MiB' 'user_share: 100%'
    for name in 1 2; do run -0 stage "$ALICE" "docker://127.0.0.1:$port/mine$name:latest"; done
    run -0 stage "$BOB" "docker://127.0.0.1:$port/mine3:latest"
    # Nobody holds on to them any more: the first who needs the room may have it.
    "$CLUSTER/service" down "$CLUSTER_DIR"
    rm -r "$CLUSTER_DIR"/store/grants/*
    "$CLUSTER/service" up "$CLUSTER_DIR"
    SERVICE=$(<"$CLUSTER_DIR/run/slipwayd.pid")
    before=$(staged_images)
    [ "$(wc -l <<<"$before")" -ge 4 ] # and busybox
    while read -r claim code; do
        run stage "$MALLORY" "docker://127.0.0.1:$port/$claim:latest"
        expect_status 255
        expect_lines 1 "slipway: error: $code: .*\\(hint: "
        [ "$(staged_images)" = "$before" ] || { echo "$claim: $(staged_images)"; return 1; }
    done <<END
4398046511104 (quota-exceeded|limit-exceeded)
33550000 quota-exceeded
16000000 digest-mismatch
END
    # All at once, too.
    local pids=() pid
    for claim in 4398046511104 33550000 16000000 16000000; do
        stage "$MALLORY" "docker://127.0.0.1:$port/$claim:latest" >/dev/null 2>&1 3>&- &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do
        if wait "$pid"; then echo "staged"; return 1; fi
    done
    [ "$(staged_images)" = "$before" ]
    for name in 1 2 3; do alice_works "docker://127.0.0.1:$port/mine$name:latest"; done
    [ "$(staged_images)" = "$before" ]
    restart
    unharmed
}

@test "characters that disguise text reach neither terminals nor the log" {
    local mark options word out=$BATS_TEST_TMPDIR/said log=$CLUSTER_DIR/log/slipwayd.out
    run abuse "$BOB" disguises "$REGISTRY"
    expect_status 0
    cp "$(image busybox)" "$CLUSTER_DIR/work/busybox.sif"
    for mark in $'\u202e' $'\u2066' $'\u200b' $'\u009b' $'\x9b' $'\n'; do
        word=evil${mark}END
        cp /etc/passwd "$CLUSTER_DIR/work/$word.sif" # is there, and no image
        for options in "docker://$REGISTRY/$word:1" "docker://$REGISTRY/busybox:$word" "docker://$word/busybox:1" \
            "$word://x" "/nosuch/$word" "$CLUSTER_DIR/work/$word.sif" "oci:/$word:$word"; do
            as "$ALICE" slipway exec "$options" true || true
            as "$ALICE" slipway inspect "$options" || true
            as "$ALICE" slipway stage "$options" || true
            as "$ALICE" slipway stage --json "$options" || true
            stage "$ALICE" "$options" || true
        done >"$out" 2>&1
        for options in --bind=/ --home=/ --cwd=/ --env-file=/ --no-mount= --scratch= --mount= --pull= --; do
            as "$ALICE" slipway exec "$options$word" "$CLUSTER_DIR/work/busybox.sif" true || true
        done >>"$out" 2>&1
        {
            as "$ALICE" slipway "$word" || true
            as "$ALICE" slipway exec "$CLUSTER_DIR/work/busybox.sif" "$word" || true
            as "$ALICE" slipway config check "/nosuch/$word" || true
        } >>"$out" 2>&1
        run python3 "$HERE/service/abuse.py" printable - "$out"
        expect_status 0
        rm "$CLUSTER_DIR/work/$word.sif"
    done
    run python3 "$HERE/service/abuse.py" printable - "$log"
    expect_status 0
}

@test "characters that disguise text in options of srun are shown by their numbers" {
    local mark word out=$BATS_TEST_TMPDIR/said sif=$CLUSTER_DIR/work/busybox.sif
    cp "$(image busybox)" "$sif"
    for mark in $'\u202e' $'\u2066' $'\u009b' $'\e[31m' $'\n'; do
        word=evil${mark}END
        {
            as "$ALICE" srun -n1 --container-image="docker://$REGISTRY/$word:1" true || true
            as "$ALICE" srun -n1 --container-image="/nosuch/$word" true || true
            as "$ALICE" srun -n1 --container-image="$sif" --container-mounts="/nosuch/$word:/mnt" true || true
            as "$ALICE" srun -n1 --container-image="$sif" --container-workdir="/$word" true || true
            as "$ALICE" srun -n1 --container-image="$sif" --container-env="$word" true || true
        } 2>&1 | grep -a -E 'slipway: |^END' >"$out"
        # Slurm's own line shows the command as it is.
        { as "$ALICE" srun -n1 --container-image="$sif" "/nosuch/$word" 2>&1 || true; } | grep -a slipway: >>"$out"
        run python3 "$HERE/service/abuse.py" printable - "$out"
        expect_status 0
        [ "$(grep -c 'slipway: error: ' "$out")" -eq 6 ]
    done
    run python3 "$HERE/service/abuse.py" printable - "$CLUSTER_DIR/log/slipwayd.out"
    expect_status 0
}

# ---- what clients do about services that are none ----

@test "a socket that nobody answers on, or that is forbidden, is reported and not worked around" {
    "$CLUSTER/service" kill "$CLUSTER_DIR"
    alice_gets service-unreachable slipwayd
    "$CLUSTER/service" up "$CLUSTER_DIR"
    chmod 700 "$CLUSTER_DIR/run"
    alice_gets service-unreachable 'ask your site'
    chmod 755 "$CLUSTER_DIR/run"
    chmod 700 "$SOCKET"
    alice_gets service-unreachable 'ask your site'
    chmod 777 "$SOCKET"
    alice_works
}

@test "client and service of different versions say which one to update" {
    "$CLUSTER/service" down "$CLUSTER_DIR"
    local sif
    sif=$(ls "$CLUSTER_DIR"/store/images/*.sif | head -n 1)
    fake older "$sif"
    alice_gets service-protocol 'older than the client: ask your site'
    unfake
    fake newer "$sif"
    alice_gets service-protocol 'older than the service: update Slipway'
    unfake
    fake unversioned "$sif"
    alice_gets service-protocol
    unfake
    # A service of this version that can more: what is new is passed over.
    fake extended "$sif"
    run -0 alice srun --container-image=docker://x/y:1 echo inside
    expect_lines 1 '^inside$'
    unfake
    "$CLUSTER/service" up "$CLUSTER_DIR"
    run curl -s --unix-socket "$SOCKET" -H 'Slipway-Api: 0' http://localhost/v1/images
    expect_output 'service-protocol.*update Slipway on this machine'
    run curl -s --unix-socket "$SOCKET" -H 'Slipway-Api: 2' http://localhost/v1/images
    expect_output 'service-protocol.*ask your site to update slipwayd'
}

@test "answers that make no sense are reported as such" {
    "$CLUSTER/service" down "$CLUSTER_DIR"
    local kind
    for kind in bytes bad-path bad-events; do
        fake "$kind"
        alice_gets '(service-protocol|not-staged)' || { echo "with $kind"; return 1; }
        unfake
    done
    # The rest by the client alone, which is what srun runs.
    for kind in endless html not-json huge error-without-reason no-path bad-chunks; do
        fake "$kind"
        run alice "$SLIPWAY_BUILD/libexec/slipway-stagec" --config "$SLIPWAY_CONFIG" docker://x/y:1
        expect_status 255
        expect_lines 1 'slipway: error: service-protocol: .*\(hint: ' || { echo "with $kind"; return 1; }
        unfake
    done
    "$CLUSTER/service" up "$CLUSTER_DIR"
}

@test "another user who got the socket's name is not believed" {
    "$CLUSTER/service" down "$CLUSTER_DIR"
    chmod 1777 "$CLUSTER_DIR/run"
    local sif
    sif=$(ls "$CLUSTER_DIR"/store/images/*.sif | head -n 1)
    rm -f "$BATS_FILE_TMPDIR/fake.out"
    (exec "$CLUSTER/as" "$BOB" python3 "$CLUSTER_DIR/work/fake_service.py" extended "$SOCKET" "$sif") \
        >"$BATS_FILE_TMPDIR/fake.out" 2>&1 3>&- &
    echo $! >"$BATS_FILE_TMPDIR/fake.pid"
    wait_for 20 grep -q holding "$BATS_FILE_TMPDIR/fake.out"
    alice_gets config-insecure 'report it to your site'
    run alice slipway doctor
    expect_output "uid $(id -u "$BOB") listens on"
    # Bob's own jobs may believe Bob.
    run -0 bob srun --container-image=docker://x/y:1 echo inside
    expect_lines 1 '^inside$'
    unfake
    # The service's own user is believed in such a directory too, because it owns the store.
    "$CLUSTER/service" up "$CLUSTER_DIR"
    alice_works
    chmod 755 "$CLUSTER_DIR/run"
}

@test "services that never answer, or never accept, do not hold a job up for ever" {
    local kind
    for kind in silent full; do
        ended() { ! kill -0 "$(<"$BATS_FILE_TMPDIR/$kind.pid")"; }
        wait_for 60 ended
        output=$(<"$BATS_FILE_TMPDIR/$kind.out") status=1
        reported_and_nothing_ran timed-out 'ask your site'
    done
    run squeue -h
    [ -z "$output" ]
}
