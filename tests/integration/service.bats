#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# slipwayd: one shared store, filled once for everybody.
# shellcheck disable=SC2154

bats_require_minimum_version 1.5.0
load common

start_service() { "$CLUSTER/service" up "$CLUSTER_DIR"; }
stop_service() { "$CLUSTER/service" "${1:-down}" "$CLUSTER_DIR"; }
api() { curl -s --unix-socket "$CLUSTER_DIR/run/slipwayd.sock" "$@"; }

setup_file() {
    need_plugin
    "$CLUSTER/push-images" "$CLUSTER_DIR" busybox debian-py >/dev/null
    LOG=$CLUSTER_DIR/log/registry.out
    export LOG
    start_service
}

teardown_file() {
    stop_service
    rm -rf "$CLUSTER_DIR/store"
}

setup() {
    need_plugin
    BUSYBOX=docker://$REGISTRY/busybox:1
    PYTHON=docker://$REGISTRY/debian-py:1
}

teardown() { [ -z "${HIDDEN:-}" ] || kill "$HIDDEN"; }

mark() { MARK=$(wc -l <"$LOG"); }
requests() { tail -n "+$((MARK + 1))" "$LOG" | grep -cE "\"$1 [^\"]*$2|method=$1 .*uri=\"[^\"]*$2" || true; }
staged() { api http://localhost/metrics | awk '$1 == "slipway_images_staged_total" { print $2 }'; }

@test "srun stages through the service, once for both nodes and for both users" {
    mark
    run -0 alice srun -N2 -n4 --container-image="$PYTHON" python3 -c 'print("in python")'
    expect_lines 4 '^in python$'
    run -0 bob srun -N2 -n2 --container-image="$PYTHON" true
    [ "$(staged)" -eq 1 ]
    [ "$(ls "$CLUSTER_DIR"/store/images/*.sif | wc -l)" -eq 1 ]
    [ "$(stat -c %U "$CLUSTER_DIR"/store/images/*.sif)" = daemon ]
}

@test "a step whose image is there asks the registry at most once" {
    run -0 alice srun --container-image="$PYTHON" true
    mark
    run -0 alice srun -N2 --container-image="$PYTHON" true
    sleep 0.3
    [ "$(requests GET '')" -eq 0 ]
    [ "$(requests HEAD '')" -le 1 ]
}

@test "an image that the registry does not show to anonymous users: the user's own login is tried" {
    local dir hidden
    dir=$(work_dir)
    "$HERE/service/hidden_registry.py" "$REGISTRY" $((${REGISTRY##*:} + 4)) alice:sesame >"$dir/address" 3>&- &
    HIDDEN=$!
    wait_for 20 test -s "$dir/address"
    hidden=docker://$(cat "$dir/address")/busybox:1
    run alice srun --container-image="$hidden" echo RAN
    expect_status 1
    expect_lines 1 '^slipway: error: source-not-found: .*\(hint: '
    refuse_output '^RAN$'
    run -0 alice env SLIPWAY_CACHEDIR="$dir/store" SLIPWAY_DOCKER_USERNAME=alice SLIPWAY_DOCKER_PASSWORD=sesame \
        srun -N2 --container-image="$hidden" readlink -f /bin/sh
    expect_lines 2 '^/bin/busybox$'
    [ "$(find "$dir/store/images" -name '*.sif' -user "$ALICE" | wc -l)" -eq 1 ]
}

@test "steps of a batch job reuse the pinned image" {
    local out
    out=$(work_dir)
    run -0 alice sbatch --wait -N2 -o "$out/out" --container-image="$PYTHON" --wrap \
        'srun python3 -c "print(1)"; srun -n2 python3 -c "print(2)"; python3 --version || echo script on the host'
    run cat "$out/out"
    expect_lines 2 '^1$'
    expect_lines 2 '^2$'
}

@test "sbatch begins the staging and returns; the first srun waits" {
    stop_service
    rm -rf "$CLUSTER_DIR"/store/images/* "$CLUSTER_DIR"/store/refs/*
    start_service
    local out
    out=$(work_dir)
    run -0 alice sbatch -o "$out/out" --container-image="$PYTHON" --wrap 'srun python3 -c "print(3)"'
    # Converting takes over a second; submitting did not wait for it.
    [ -z "$(ls "$CLUSTER_DIR/store/images")" ]
    wait_for 30 grep -qx 3 "$out/out"
}

@test "standard streams that are closed harm neither the service nor srun and sbatch" {
    local streams out pid fd
    for streams in '<&-' '>&-' '2>&-' '<&- >&-' '<&- >&- 2>&-'; do
        echo "with $streams"
        stop_service
        rm -rf "$CLUSTER_DIR"/store/images/* "$CLUSTER_DIR"/store/refs/*
        eval 'setsid setpriv --reuid=daemon --regid=daemon --clear-groups "$SLIPWAY_BUILD/bin/slipwayd" \
            --config "$SLIPWAY_CONFIG" </dev/null >>"$CLUSTER_DIR/log/slipwayd.out" 2>&1 3>&-' "$streams" '&'
        pid=$!
        echo "$pid" >"$CLUSTER_DIR/run/slipwayd.pid"
        wait_for 20 curl -sf --unix-socket "$CLUSTER_DIR/run/slipwayd.sock" http://localhost/healthz
        # None of its own files has got the number of a stream.
        for fd in 0 1 2; do
            [[ $(readlink "/proc/$pid/fd/$fd") =~ ^(/dev/null|$CLUSTER_DIR/log/slipwayd.out)$ ]]
        done
        out=$(work_dir)
        # Slurm cannot forward a stream that is closed; without a container it waits for ever, too.
        run -7 alice sh -c "srun -n2 --input=none --output=$out/out --error=$out/err --container-image=$BUSYBOX \
            sh -c 'echo out; echo err >&2; readlink -f /bin/sh; exit 7' $streams"
        [ "$(sort "$out/out")" = $'/bin/busybox\n/bin/busybox\nout\nout' ]
        [ "$(<"$out/err")" = $'err\nerr' ]
        [[ $streams == '<&- >&-'* ]] || continue # sbatch -W looks every two seconds only
        run -5 alice sh -c "sbatch -W -o $out/batch --container-image=$BUSYBOX --container-batch \
            --wrap='readlink -f /bin/sh; exit 5' $streams"
        [ "$(<"$out/batch")" = /bin/busybox ]
    done
    [ "$(staged)" -eq 1 ]
    stop_service
    start_service
}

@test "the service killed in the middle and started again is a pause" {
    local reference=docker://$REGISTRY/debian-py:1
    stop_service
    rm -rf "$CLUSTER_DIR"/store/images/* "$CLUSTER_DIR"/store/refs/*
    start_service
    alice srun --container-image="$reference" echo done >"$BATS_TEST_TMPDIR/out" 2>&1 &
    local job=$!
    wait_for 20 bash -c "ls '$CLUSTER_DIR'/store/tmp/* "
    stop_service kill
    start_service
    wait "$job" || { cat "$BATS_TEST_TMPDIR/out"; return 1; }
    grep -qx done "$BATS_TEST_TMPDIR/out"
    wait_for 10 bash -c "[ -z \"\$(ls '$CLUSTER_DIR/store/tmp')\" ]"
}

@test "errors of the service reach the user, nothing runs on the host" {
    run alice srun --container-image="docker://$REGISTRY/busybox:nosuch" touch /tmp/slipway-ran
    expect_failure
    expect_output 'source-not-found: '
    [ ! -e /tmp/slipway-ran ]
    wait_for 10 cluster_idle
}

@test "the log says who asked for what and how it ended, with priorities for the journal" {
    local reference=docker://$REGISTRY/busybox:1 log=$CLUSTER_DIR/log/slipwayd.out uid
    uid=$(id -u "$ALICE")
    run -0 alice srun --container-image="$reference" true
    grep -qE "info staging begins: request=[0-9a-f]{32} user=$uid image='$reference'\$" "$log"
    grep -qE "info (was )?staged: request=[0-9a-f]{32} user=$uid image='$reference' digest=sha256:" "$log"
    grep -qE "warning staging failed: request=[0-9a-f]{32} user=$uid image='.*busybox:nosuch' source-not-found: " "$log"
    # systemd knows the journal's stream by device and inode.
    local stream=$BATS_TEST_TMPDIR/journal
    : >"$stream"
    run -255 env JOURNAL_STREAM="$(stat -c %d:%i "$stream")" \
        bash -c '"$0" --config /nonexistent.yaml 2>"$1"' "$SLIPWAY_BUILD/bin/slipwayd" "$stream"
    grep -q '^<3>config-missing: ' "$stream"
}

@test "the service reaches no address that the site has not named" {
    run api -X POST -d '{"reference":"docker://127.0.0.1:9/x:1"}' http://localhost/v1/images
    local id
    id=$(jq -r .id <<<"$output")
    run api "http://localhost/v1/images/$id/events"
    expect_output '"event":"failed"'
    refuse_output 'Connection refused'
}

@test "only root and the service's user change the store" {
    local image
    image=$(api http://localhost/v1/images | jq -r '.images[0].image')
    run alice curl -s -X DELETE --unix-socket "$CLUSTER_DIR/run/slipwayd.sock" "http://localhost/v1/images/$image?force"
    expect_output 'policy-denied'
    run -0 api -X POST "http://localhost/v1/images/$image/pin"
    run -0 api http://localhost/v1/images
    [ "$(jq ".images[] | select(.image == \"$image\") | .pinned" <<<"$output")" = true ]
}

# The id of the staged image of a reference.
image_of() { api http://localhost/v1/images | jq -re "[.images[] | select(.reference == \"$1\")][0].image"; }

@test "an image that was removed, however it went, is staged again for the next job" {
    local image pinned how before
    run -0 alice srun --container-image="$BUSYBOX" true
    image=$(image_of "$BUSYBOX")
    pinned=$BUSYBOX@$(api http://localhost/v1/images | jq -re ".images[] | select(.image == \"$image\") | .digest")
    run -0 alice srun --container-image="$pinned" true
    for how in service command file; do
        before=$(staged)
        case $how in
        service) run -0 api -X DELETE "http://localhost/v1/images/$image?force=1" ;;
        command) run -0 runuser -u daemon -- "$SLIPWAY_BUILD/bin/slipway" images rm --force "$image" \
            --config "$CLUSTER_DIR/etc/slipway.yaml" ;;
        file) rm "$CLUSTER_DIR/store/images/$image.sif" ;;
        esac
        [ ! -e "$CLUSTER_DIR/store/images/$image.sif" ]
        run -0 api http://localhost/v1/images
        [ "$(jq "[.work[] | select(.last_event.image == \"$image\")] | length" <<<"$output")" -eq 0 ]
        run -0 alice srun --container-image="$pinned" echo "again after $how"
        expect_lines 1 "^again after $how\$"
        run -0 bob srun --container-image="$BUSYBOX" true
        [ "$(staged)" -eq $((before + 1)) ]
        [ -e "$CLUSTER_DIR/store/images/$image.sif" ]
    done
}

@test "a parameter of DELETE means what it says" {
    local image
    image=$(api http://localhost/v1/images | jq -re '.images[0].image') # granted to those who used it
    run -0 api -o /dev/null -w '%{http_code}' -X DELETE "http://localhost/v1/images/$image?farce=1"
    [ "$output" = 400 ]
    run -0 api -X DELETE "http://localhost/v1/images/$image?force=0"
    expect_output 'is pinned|may be in use'
    [ -e "$CLUSTER_DIR/store/images/$image.sif" ]
}

@test "bad requests are refused and others are not disturbed" {
    run api -X POST -d '{"reference":"x","uid":0}' http://localhost/v1/images
    expect_output 'service-protocol'
    run api -X POST -d 'garbage' http://localhost/v1/images
    expect_output 'service-protocol'
    run -0 api -o /dev/null -w '%{http_code}' http://localhost/v1/images/ffffffffffffffffffffffffffffffff
    [ "$output" = 404 ]
    run -0 alice srun --container-image="$BUSYBOX" true
}

@test "without the service users stage in their own process, and a message says so" {
    stop_service
    rm -rf "$CLUSTER_DIR"/store/images/* # what is staged for everybody would be used
    local own
    own=$(work_dir)
    run -0 alice env SLIPWAY_CACHEDIR="$own/store" srun --container-image="$BUSYBOX" echo served
    expect_output served
    [ -n "$(ls "$own/store/images")" ]
    start_service
}

@test "the service touches nothing that is not its store's, and starts in no directory that is in use" {
    local store=$CLUSTER_DIR/store config=$CLUSTER_DIR/in-use.yaml used before file
    stop_service
    # The store as an earlier version left it, with files of somebody in it.
    rm -f "$store/slipway-store"
    mkdir -p "$store/tmp/thesis"
    for file in tmp/notes.txt tmp/thesis/chapter1 tmp/a.99999999.b images/photo.jpg pins/map.txt grants/application.txt; do
        echo "text of $file" >"$store/$file"
    done
    chown -R daemon: "$store/tmp"
    before=$(cd "$store" && sha256sum tmp/notes.txt tmp/thesis/chapter1 tmp/a.* images/photo.jpg pins/map.txt grants/application.txt)
    start_service
    run -0 alice srun --container-image="$BUSYBOX" echo served
    expect_lines 1 '^served$'
    [ -f "$store/slipway-store" ]
    [ "$(cd "$store" && sha256sum tmp/notes.txt tmp/thesis/chapter1 tmp/a.* images/photo.jpg pins/map.txt grants/application.txt)" = "$before" ]
    rm -r "$store"/tmp/{notes.txt,thesis,a.99999999.b} "$store"/{images/photo.jpg,pins/map.txt,grants/application.txt}

    used=$(work_dir)/used
    mkdir -p "$used/tmp"
    echo mine >"$used/tmp/notes.txt"
    chown -R daemon: "$used"
    printf 'store: {path: %s}\nservice: {listen: ["unix:%s/sock"]}\n' "$used" "$used" >"$config"
    run -255 setpriv --reuid daemon --regid daemon --clear-groups "$SLIPWAY_BUILD/bin/slipwayd" --config "$config"
    expect_output "store-unusable: .*cannot become a store: it holds 'tmp'"
    [ "$(cd "$used" && find . | sort | tr '\n' ' ')" = '. ./tmp ./tmp/notes.txt ' ]
    [ "$(cat "$used/tmp/notes.txt")" = mine ]
}
