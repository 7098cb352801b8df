#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Images from a registry without a service: all users stage in processes of their own, into stores of their own.
# shellcheck disable=SC2154

bats_require_minimum_version 1.5.0
load common

setup_file() {
    "$CLUSTER/push-images" "$CLUSTER_DIR" busybox debian-py >/dev/null
    LOG=$CLUSTER_DIR/log/registry.out
    STORES=$(work_dir)
    # A registry that takes its time: what happens in the middle of a download can be tested.
    mkdir "$STORES/layouts"
    "$HERE/layouts.py" good "$STORES/layouts/good" 8
    "$HERE/layouts.py" serve "$STORES/layouts" $((${REGISTRY##*:} + 7)) >"$STORES/port" 2>/dev/null 3>&- &
    SERVER=$!
    wait_for 20 test -s "$STORES/port"
    SLOW=127.0.0.1:$(cat "$STORES/port")
    export LOG STORES SERVER SLOW
}

teardown_file() { kill "$SERVER"; }

setup() {
    need_plugin
    [ -n "$REGISTRY" ] || skip "this cluster has no registry"
    # A store of its own for every test, on what all nodes see.
    STORE=$STORES/$BATS_TEST_NUMBER
    BUSYBOX=docker://$REGISTRY/busybox:1
    PYTHON=docker://$REGISTRY/debian-py:1
}

alice_slipway() { alice env -C "$STORES" SLIPWAY_CACHEDIR="$STORE" slipway "$@"; }
# srun as Alice, with a store of this test.
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
    run -0 --separate-stderr alice_slipway stage "$BUSYBOX"
    local pinned=${lines[0]} path=${lines[1]}
    [[ $pinned == docker://"$REGISTRY"/busybox:1@sha256:* ]]
    [ -f "$path" ]
    mark
    run -0 --separate-stderr alice_slipway stage --print-path "$pinned"
    [ "$output" = "$path" ]
    sleep 0.3
    [ "$(requests '(GET|HEAD)' '')" -eq 0 ]
}

@test "slipway exec runs an image of a registry" {
    run -0 --separate-stderr alice_slipway exec "$BUSYBOX" echo hello
    [ "$output" = hello ]
}

@test "pull makes a file that runs, overwrites only when asked to, and leaves nothing half done" {
    local dir
    dir=$(work_dir)
    run -0 alice env -C "$dir" SLIPWAY_CACHEDIR="$STORE" slipway pull b.sif "$BUSYBOX"
    run -0 --separate-stderr alice_slipway exec "$dir/b.sif" echo hi
    [ "$output" = hi ]
    run alice env -C "$dir" SLIPWAY_CACHEDIR="$STORE" slipway pull b.sif "$BUSYBOX"
    expect_status 255
    expect_output 'image-exists: .*--force'
    run -0 alice env -C "$dir" SLIPWAY_CACHEDIR="$STORE" slipway pull -F b.sif "$BUSYBOX"
    [ "$(ls "$dir")" = b.sif ]
}

@test "pull takes what the store has: one small request, no byte of an image" {
    local dir
    dir=$(work_dir)
    run -0 alice_slipway run "$BUSYBOX" true
    mark
    run -0 alice_slipway pull "$dir/after-run.sif" "$BUSYBOX"
    sleep 0.3
    [ "$(requests HEAD '')" -eq 1 ]
    [ "$(requests GET '')" -eq 0 ]
    cmp "$dir/after-run.sif" "$(ls "$STORE"/images/*.sif)"
    mark
    run -0 alice_slipway build "$dir/built.sif" "$BUSYBOX"
    sleep 0.3
    [ "$(requests '(GET|HEAD)' '')" -eq 1 ]
    # And the other way round: what was pulled need not be fetched for a job.
    mark
    run -0 alice_slipway exec --pull=never "$BUSYBOX" true
    run -0 sr --container-image="$BUSYBOX" true
    sleep 0.3
    [ "$(requests GET '')" -eq 0 ]
    # The file is a copy: whoever changes it harms nobody.
    alice sh -c "chmod u+w '$dir/built.sif' && echo more >>'$dir/built.sif'"
    run -0 alice_slipway cache fsck
    expect_output '^0 problem'
}

@test "without the cache nothing is taken from the store and nothing is left" {
    local dir
    dir=$(work_dir)
    run -0 --separate-stderr alice_slipway exec --disable-cache "$BUSYBOX" echo hello
    [ "$output" = hello ]
    [ ! -e "$STORE" ]
    mark
    run -0 alice env -C "$dir" SLIPWAY_CACHEDIR="$STORE" SINGULARITY_DISABLE_CACHE=1 SINGULARITY_TMPDIR="$dir" \
        slipway pull b.sif "$BUSYBOX"
    run -0 alice env -C "$dir" SLIPWAY_CACHEDIR="$STORE" APPTAINER_DISABLE_CACHE=true SLIPWAY_TMPDIR="$dir" \
        slipway run "$BUSYBOX" true
    sleep 0.3
    [ "$(requests GET '/blobs/')" -ge 2 ]
    [ ! -e "$STORE" ]
    [ "$(ls "$dir")" = b.sif ]
    run alice_slipway exec --disable-cache --pull never "$BUSYBOX" true
    expect_status 1
    expect_output 'usage: --pull=never .* --disable-cache'
}

@test "the cache directories of Apptainer and Singularity hold a store of ours" {
    local dir home
    dir=$(work_dir)
    mkdir "$dir/cache"
    echo theirs >"$dir/cache/file"
    chown -R "$ALICE:" "$dir"
    for variable in APPTAINER_CACHEDIR SINGULARITY_CACHEDIR; do
        rm -rf "$dir/cache/slipway"
        run -0 alice env "$variable=$dir/cache" slipway exec "$BUSYBOX" true
        [ "$(ls "$dir/cache/slipway/images/"*.sif | wc -l)" -eq 1 ]
    done
    # Ours comes first, then Apptainer's; srun honours them as the prompt does.
    run -0 alice env SLIPWAY_CACHEDIR="$dir/own" APPTAINER_CACHEDIR="$dir/a" SINGULARITY_CACHEDIR="$dir/s" \
        slipway exec "$BUSYBOX" true
    run -0 alice env APPTAINER_CACHEDIR="$dir/a" SINGULARITY_CACHEDIR="$dir/s" \
        srun --container-image="$BUSYBOX" true
    [ -d "$dir/own/images" ]
    [ -d "$dir/a/slipway/images" ]
    [ ! -e "$dir/s" ]
    [ "$(cat "$dir/cache/file")" = theirs ]
    run alice env SINGULARITY_CACHEDIR=relative slipway exec "$BUSYBOX" true
    expect_status 255
    expect_output "SINGULARITY_CACHEDIR is 'relative', not an absolute path"
}

# on_terminal ANSWER COMMAND…: as Alice on a terminal, where somebody types the answer.
on_terminal() {
    local answer=$1
    shift
    alice python3 -c '
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[2], sys.argv[2:])
shown, sent = b"", False
while True:
    try:
        data = os.read(terminal, 4096)
    except OSError:
        break
    if not data:
        break
    shown += data
    if not sent and shown.rstrip().endswith(b"]"):
        os.write(terminal, sys.argv[1].encode() + b"\n")
        sent = True
sys.stdout.write(shown.decode().replace("\r", ""))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))' "$answer" "$@"
}

@test "pull and build ask on a terminal before they replace a file" {
    local dir
    dir=$(work_dir)
    for verb in pull build; do
        echo old >"$dir/x.sif"
        chown "$ALICE:" "$dir/x.sif"
        run on_terminal n env SLIPWAY_CACHEDIR="$STORE" slipway "$verb" "$dir/x.sif" "$BUSYBOX"
        expect_status 255
        expect_output 'already exists. Do you want to overwrite\? \[N/y\]'
        [ "$(cat "$dir/x.sif")" = old ]
        run on_terminal '' env SLIPWAY_CACHEDIR="$STORE" slipway "$verb" "$dir/x.sif" "$BUSYBOX"
        expect_status 255
        [ "$(cat "$dir/x.sif")" = old ]
        run on_terminal y env SLIPWAY_CACHEDIR="$STORE" slipway "$verb" "$dir/x.sif" "$BUSYBOX"
        expect_status 0
        run -0 alice_slipway exec "$dir/x.sif" true
        # No question with --force; no answer, and so no, without a terminal.
        run on_terminal n env SLIPWAY_CACHEDIR="$STORE" slipway "$verb" -F "$dir/x.sif" "$BUSYBOX"
        expect_status 0
        refuse_output "Do you want"
        run bash -c "echo y | $CLUSTER/as $ALICE slipway $verb $dir/x.sif $BUSYBOX"
        expect_status 255
        refuse_output "Do you want"
    done
    run -0 on_terminal x env SLIPWAY_CACHEDIR="$STORE" slipway build "$dir/new.sif" "$BUSYBOX"
    refuse_output "Do you want"
    [ "$(ls "$dir")" = $'new.sif\nx.sif' ]
}

@test "an image without CMD and ENTRYPOINT gives a shell" {
    run -0 bash -c "echo 'echo in \$0' | $CLUSTER/as $ALICE env SLIPWAY_CACHEDIR=$STORE slipway -q run docker://$SLOW/good:latest"
    expect_output 'the image names no program, executing /bin/sh'
    expect_output 'in /bin/sh'
    run -0 alice_slipway -q run "docker://$SLOW/good:latest" echo words
    expect_output words
    refuse_output /bin/sh
}

@test "a definition file and other files say what they are" {
    local dir verb name
    dir=$(work_dir)
    printf '# comment\nBootStrap: docker\nFrom: debian:12\n%%post\n  true\n' >"$dir/Singularity"
    cp "$dir/Singularity" "$dir/x.def"
    echo text >"$dir/text"
    for name in Singularity ./x.def; do
        run alice env -C "$dir" SLIPWAY_CACHEDIR="$STORE" slipway build out.sif "$name"
        expect_status 255
        expect_output 'unsupported: .* is a definition file: this version does not build from those'
    done
    for verb in 'pull out.sif' 'build out.sif' stage; do
        # shellcheck disable=SC2086
        run alice env -C "$dir" SLIPWAY_CACHEDIR="$STORE" slipway $verb ./text
        expect_status 255
        expect_output "image-format: './text' is not an image: its format is not recognised"
    done
    for name in ./nosuch nosuch.sqsh; do
        for verb in 'pull out.sif' 'build out.sif' stage; do
            # shellcheck disable=SC2086
            run alice env -C "$dir" SLIPWAY_CACHEDIR="$STORE" slipway $verb "$name"
            expect_status 255
            expect_output 'image-not-found: .*nosuch'
        done
    done
    [ ! -e "$dir/out.sif" ]
}

@test "a SIF file is staged, built from and pulled byte for byte, and runs" {
    local dir staged other
    dir=$(work_dir)
    run -0 alice_slipway build "$dir/old.sif" "$BUSYBOX"
    run -0 --separate-stderr alice env -C "$dir" SLIPWAY_CACHEDIR="$STORE" slipway stage ./old.sif
    [ "${lines[0]}" = "file:$dir/old.sif" ]
    staged=${lines[1]}
    cmp "$dir/old.sif" "$staged"
    run -0 --separate-stderr alice_slipway exec "$staged" echo staged
    [ "$output" = staged ]
    run -0 --separate-stderr sr -N2 --container-image="$staged" echo staged
    expect_lines 2 '^staged$'
    run -0 alice_slipway images
    expect_output "file:$dir/old.sif"
    # Equal content is one image.
    alice cp "$dir/old.sif" "$dir/copy.sif"
    run -0 --separate-stderr alice_slipway stage --print-path "$dir/copy.sif"
    [ "$output" = "$staged" ]
    run -0 alice_slipway build "$dir/new.sif" "$dir/old.sif"
    cmp "$dir/old.sif" "$dir/new.sif"
    run -0 alice env -C "$dir" SLIPWAY_CACHEDIR="$STORE" slipway pull pulled.sif file:new.sif
    cmp "$dir/old.sif" "$dir/pulled.sif"
    run -0 --separate-stderr alice_slipway exec "$dir/pulled.sif" echo pulled
    [ "$output" = pulled ]
    # The store has a copy: whoever changes the file harms nobody, and it is another image then.
    alice sh -c "chmod u+w '$dir/old.sif' && printf more >>'$dir/old.sif'"
    run -0 --separate-stderr alice_slipway stage --print-path "$dir/old.sif"
    other=$output
    [ "$other" != "$staged" ]
    cmp "$dir/new.sif" "$staged"
    run -0 alice_slipway cache fsck
    expect_output '^0 problem'
    nothing_unfinished
}

@test "a SIF file that is damaged or for other machines is refused, and leaves nothing" {
    local dir verb
    dir=$(work_dir)
    run -0 alice_slipway build "$dir/good.sif" "$BUSYBOX"
    alice cp "$dir/good.sif" "$dir/cut.sif"
    alice sh -c "chmod u+w '$dir/cut.sif' && truncate -s -8192 '$dir/cut.sif'"
    for verb in "pull $dir/out.sif" "build $dir/out.sif" stage; do
        # shellcheck disable=SC2086
        run alice_slipway $verb "$dir/cut.sif"
        expect_status 255
        expect_output 'image-corrupt: .*cut.sif'
        # shellcheck disable=SC2086
        run alice_slipway $verb --arch arm64 "$dir/good.sif"
        expect_status 255
        expect_output "platform-mismatch: .*good.sif' is made for amd64, not for arm64"
    done
    [ ! -e "$dir/out.sif" ]
    [ "$(find "$STORE/images" -name "*.sif" | wc -l)" -eq 1 ] # what good.sif was built from
    nothing_unfinished
}

@test "options of containers are recognised where images are fetched, and their variables do no harm" {
    local dir verb
    dir=$(work_dir)
    for verb in pull build stage; do
        run alice_slipway "$verb" --nvccli "$dir/x.sif" "$BUSYBOX"
        expect_status 255
        expect_output 'unsupported: option --nvccli is not supported'
        run alice_slipway "$verb" --docker-login "$dir/x.sif" "$BUSYBOX"
        expect_output 'unsupported: option --docker-login'
    done
    run alice_slipway build --sandbox "$dir/x" "$BUSYBOX"
    expect_output 'unsupported: option --sandbox'
    run -0 alice env SLIPWAY_CACHEDIR="$STORE" SINGULARITY_NV=1 APPTAINER_FAKEROOT=1 SINGULARITY_BIND=/mnt \
        slipway pull "$dir/x.sif" "$BUSYBOX"
}

@test "the same image twice gives the same bytes" {
    run -0 alice_slipway stage "$PYTHON"
    local first
    first=$(sha256sum <"$(ls "$STORE"/images/*.sif)")
    rm -rf "$STORE"
    run -0 alice_slipway stage "$PYTHON"
    [ "$first" = "$(sha256sum <"$(ls "$STORE"/images/*.sif)")" ]
}

# held_worker: starts a stage of $PYTHON and stops its process while it holds the lease.
held_worker() {
    alice_slipway stage "$PYTHON" >"$STORES/first" 2>&1 3>&- &
    JOB=$!
    wait_for 20 lease_there
    WORKER=$(awk '{ print $3 }' "$STORE"/leases/*)
    kill -STOP "$WORKER"
    [ -z "$(ls "$STORE/images")" ] || { echo "it was done before it could be stopped"; return 1; }
}

# below PID NAME: the process of that name among PID and what it started. Other clusters on this machine
# have the same users: processes are never looked for by name alone.
below() {
    local child
    if [ "$(cat "/proc/$1/comm" 2>/dev/null)" = "$2" ]; then echo "$1"; return; fi
    for child in $(pgrep -P "$1"); do below "$child" "$2"; done
}

lease_there() { [ -n "$(ls "$STORE/leases" 2>/dev/null)" ]; }

# waiter: starts another stage and waits until it says that it waits.
waiter() {
    alice_slipway stage "$PYTHON" >"$STORES/second" 2>&1 3>&- &
    WAITER=$!
    wait_for 20 grep -q 'waiting for process .*, which fetches the same image' "$STORES/second"
}

# fetched_once: no layer was asked for twice. (The small blobs are configurations.)
fetched_once() {
    sleep 0.3
    local most
    most=$(tail -n "+$((MARK + 1))" "$LOG" | awk '/"GET \/v2\/debian-py\/blobs\/.*" 20[06] / && $10 > 100000 {
        if (++seen[$7] > most) most = seen[$7]
    } END { print most + 0 }')
    [ "$most" -eq 1 ] || { echo "a layer was fetched $most times"; return 1; }
}

one_good_image() {
    [ "$(ls "$STORE"/images/*.sif | wc -l)" -eq 1 ]
    nothing_unfinished
    run -0 alice_slipway cache fsck
    expect_output '^0 problem'
}

@test "two processes that want one image: one download, one conversion, both are served" {
    mark
    held_worker
    waiter
    kill -CONT "$WORKER"
    wait "$JOB"
    wait "$WAITER"
    [ "$(tail -n 1 "$STORES/first")" = "$(tail -n 1 "$STORES/second")" ]
    fetched_once
    one_good_image
}

@test "the one that waits may be killed, that harms nothing" {
    mark
    held_worker
    waiter
    kill -KILL "$(below "$WAITER" slipway-images)"
    wait "$WAITER" && return 1
    kill -CONT "$WORKER"
    wait "$JOB"
    fetched_once
    run -0 alice_slipway cache fsck --repair
    one_good_image
}

@test "the one that works may be killed, the one that waits takes over" {
    held_worker
    waiter
    kill -KILL "$WORKER"
    wait "$JOB" && return 1
    wait "$WAITER"
    run -0 alice_slipway cache fsck --repair
    one_good_image
}

# in_foreground COMMAND…: as Alice, as a process group that is not deaf to SIGINT, as under a terminal.
# Sets JOB, the process and the group.
in_foreground() {
    cd "$STORES" || return
    setsid "$CLUSTER/as" "$ALICE" env --default-signal=INT SLIPWAY_CACHEDIR="$STORE" "$@" \
        >"$STORES/out" 2>&1 3>&- &
    JOB=$!
}

# The process of JOB's group that is srun: the signal must not hit what it has started.
srun_of_job() {
    wait_for 20 pgrep -g "$JOB" -x srun
    pgrep -g "$JOB" -x srun
}

# stops_with STATUS SIGNAL PID: sends it in the middle of the staging; the job stops with that status,
# and nothing is left.
stops_with() {
    local rc=0
    wait_for 20 lease_there
    kill "$2" -- "$3"
    wait "$JOB" || rc=$?
    cat "$STORES/out"
    [ "$rc" -eq "$1" ] || { echo "status $rc"; return 1; }
    [ "$(grep -c 'error: ' "$STORES/out")" -eq 0 ] # who stops it knows
    nothing_unfinished
    [ -z "$(ls "$STORE/images")" ]
    wait_for 5 group_gone || { ps -o pid,ppid,stat,args -g "$JOB"; return 1; }
}

# The process of the job is gone at once; srun's second one sees that a moment later, and init has to reap it.
group_gone() { ! kill -0 -- "-$JOB"; }

@test "Ctrl-C stops a stage at once and leaves nothing" {
    in_foreground slipway stage "docker://$SLOW/stall-good:latest"
    stops_with 130 -INT "-$JOB" # as a terminal does, to the whole group
}

@test "Ctrl-C stops an exec without the cache and leaves nothing" {
    local rc=0 dir
    dir=$(work_dir)
    in_foreground env SLIPWAY_TMPDIR="$dir" slipway exec --disable-cache "docker://$SLOW/stall-good:latest" true
    wait_for 20 grep -q downloading "$STORES/out"
    [ -n "$(ls "$dir")" ]
    kill -INT -- "-$JOB" # as a terminal does, to the whole group
    wait "$JOB" || rc=$?
    cat "$STORES/out"
    [ "$rc" -eq 130 ]
    [ -z "$(ls -A "$dir")" ]
}

@test "a killed exec or pull without the cache leaves nothing for good" {
    local dir
    dir=$(work_dir)
    # Any signal of the usual ones cleans up.
    in_foreground env SLIPWAY_TMPDIR="$dir" slipway exec --disable-cache "docker://$SLOW/stall-good:latest" true
    wait_for 20 grep -q downloading "$STORES/out"
    kill -QUIT -- "-$JOB"
    wait "$JOB" || true
    [ -z "$(ls -A "$dir")" ]
    # SIGKILL cannot; whoever comes next does it.
    in_foreground env SLIPWAY_TMPDIR="$dir" slipway exec --disable-cache "docker://$SLOW/stall-good:latest" true
    wait_for 20 grep -q downloading "$STORES/out"
    kill -KILL -- "-$JOB"
    wait "$JOB" || true
    wait_for 10 group_gone
    [ "$(find "$dir" -mindepth 1 -maxdepth 1 | wc -l)" -eq 2 ]
    in_foreground env SLIPWAY_TMPDIR="$dir" slipway pull --disable-cache "$dir/x.sif" "docker://$SLOW/stall-good:latest"
    wait_for 20 grep -q downloading "$STORES/out"
    kill -KILL -- "-$JOB"
    wait "$JOB" || true
    wait_for 10 group_gone
    [ "$(find "$dir" -name 'x.sif.new.*' | wc -l)" -eq 1 ]
    run -0 alice env SLIPWAY_TMPDIR="$dir" slipway pull --disable-cache "$dir/x.sif" "$BUSYBOX"
    run -0 alice env SLIPWAY_TMPDIR="$dir" slipway exec --disable-cache "$BUSYBOX" true
    [ "$(ls -A "$dir")" = x.sif ]
}

@test "Ctrl-C in srun while it stages: it stops at once, nothing is left, nothing ran" {
    in_foreground srun --container-image="docker://$SLOW/stall-good:latest" touch "$STORES/ran"
    stops_with 1 -INT "-$JOB"
    [ ! -e "$STORES/ran" ]
    [ "$(grep -c 'killed\|there is no' "$STORES/out")" -eq 0 ]
    wait_for 10 cluster_idle
}

@test "a signal for srun alone, while it stages, does the same" {
    in_foreground srun --container-image="docker://$SLOW/stall-good:latest" touch "$STORES/ran"
    stops_with 1 -TERM "$(srun_of_job)"
    [ ! -e "$STORES/ran" ]
    wait_for 10 cluster_idle
}

@test "progress in a file: plain lines, one for a state, few of them" {
    run -0 sr -o "$STORES/stdout" --container-image="docker://$SLOW/drip-good:latest" cat /noise
    [ "$(grep -cP '[\x00-\x09\x0b-\x1f\x7f]' <<<"$output")" -eq 0 ]
    expect_lines 1 '^slipway: .*: ready, .* in '
    expect_lines 1 '^slipway: .*: downloading .* of .* \([0-9]+ %\)'
    refuse_output $'(^|\n)[^s]'
    [ "${#lines[@]}" -le 6 ] || { echo "$output"; return 1; }
    [ "$(stat -c %s "$STORES/stdout")" -eq $((8 << 20)) ]
}

@test "JSON lines tell the whole story" {
    run -0 --separate-stderr alice_slipway stage --json "$BUSYBOX"
    jq -e . <<<"${lines[0]}"
    jq -e 'select(.event == "ready") | .path and .digest' <<<"${lines[-1]}"
    [ "$(jq .size <<<"${lines[-1]}")" -eq "$(stat -c %s "$(jq -r .path <<<"${lines[-1]}")")" ]
    # What is not known yet is not said.
    jq -se '.[] | select(.event == "resolved") | .digest and (has("size") or has("was_present") | not)' <<<"$output"
    jq -se 'all(.[]; .bytes == null or .bytes <= .total)' <<<"$output"
}

@test "JSON lines say how far a download is, and how far a layout" {
    run -0 --separate-stderr alice_slipway stage --json "docker://$SLOW/drip-good:latest"
    jq -se 'any(.[]; .event == "downloading" and .bytes > 0 and .bytes < .total)' <<<"$output"
    run -0 --separate-stderr alice_slipway stage --json "oci:$STORES/layouts/good"
    jq -se 'all(.[]; .event != "downloading")' <<<"$output"
}

@test "images and cache show and clean the store" {
    run -0 alice_slipway stage "$BUSYBOX"
    run -0 alice_slipway images
    expect_output "docker://$REGISTRY/busybox:1"
    run -0 --separate-stderr alice_slipway images --json
    jq -e '.[0].digest | startswith("sha256:")' <<<"$output"
    run -0 alice_slipway cache list
    expect_output 'There are 1 image'
    run -0 --separate-stderr alice_slipway cache list --json
    jq -e '.images == 1 and .image_bytes > 0 and .used_bytes >= .image_bytes and (.path | startswith("/"))' <<<"$output"
    run -0 --separate-stderr alice_slipway cache fsck --json
    [ "$output" = '[]' ]
}

@test "cache clean keeps what jobs may use and what is pinned, and says so" {
    local path id
    run -0 alice_slipway stage "$PYTHON"
    run -0 --separate-stderr alice_slipway stage --print-path "$BUSYBOX"
    path=$output id=$(basename "$path" .sif)
    run -0 alice_slipway images pin "$id"
    run -0 --separate-stderr alice_slipway cache clean -n
    [ -z "$output" ]
    [[ $stderr == *'2 image(s) kept: 1 granted (jobs may use them), 1 pinned; --protected '* ]]
    run -0 alice_slipway cache clean -f
    expect_lines 1 '^0 image.s. removed$'
    expect_lines 1 '^2 image.s. kept: 1 granted .jobs may use them., 1 pinned; --protected '
    # What nobody has a claim on goes.
    run -0 alice_slipway images unpin "$id"
    rm -r "$STORE/grants/$id"
    run -0 alice_slipway cache clean -f
    expect_lines 1 '^1 image.s. removed$'
    expect_lines 1 '^1 image.s. kept: 1 granted .jobs may use them.; --protected '
    [ ! -e "$path" ]
    run -0 alice_slipway stage "$BUSYBOX"
    run -0 alice_slipway images pin "$id"
    run -0 alice_slipway cache clean -f --protected
    [ "$output" = '2 image(s) removed' ]
    [ -z "$(find "$STORE/images" "$STORE/pins" "$STORE/grants" -mindepth 1)" ]
}

@test "sbatch without a service begins the staging in the background and returns" {
    local job
    # Its registry drips: the image cannot be there when sbatch returns.
    job=$(alice env -C "$STORES" SLIPWAY_CACHEDIR="$STORE" sbatch --parsable -o "$STORES/batch" \
        --container-image="docker://$SLOW/drip-good:latest" --wrap 'srun -n1 ls /noise; echo done')
    [ -z "$(ls "$STORE/images")" ]
    wait_for 60 grep -q '^done$' "$STORES/batch"
    run cat "$STORES/batch"
    expect_lines 1 '^/noise$'
    [ "$(find "$STORE/images" -name '*.sif' | wc -l)" -eq 1 ]
    wait_for 10 sh -c "! squeue -h -j $job 2>/dev/null | grep -q ."
    # What cannot be resolved is not queued.
    run alice env -C "$STORES" SLIPWAY_CACHEDIR="$STORE" sbatch \
        --container-image="docker://$SLOW/no-such:latest" --wrap true
    [ "$status" -ne 0 ]
    expect_lines 1 'error: source-[a-z-]+'
    [ -z "$(squeue -h)" ]
}
