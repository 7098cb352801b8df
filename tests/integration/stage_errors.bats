#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Everything that can be wrong with an image, a registry or a store, as an ordinary user meets it: one
# clear line with a stable code and a hint, the right exit code, a store as it was before, nothing run.
# shellcheck disable=SC2154

bats_require_minimum_version 1.5.0
load common

setup_file() {
    "$CLUSTER/push-images" "$CLUSTER_DIR" busybox debian-py >/dev/null
    WORK=$(work_dir)
    mkdir "$WORK/layouts"
    "$HERE/layouts.py" hostile "$WORK/layouts" >"$WORK/faults"
    "$HERE/layouts.py" good "$WORK/layouts/good" 4
    # One of the ports where the cluster's site file allows plain HTTP.
    "$HERE/layouts.py" serve "$WORK/layouts" $((${REGISTRY##*:} + 8)) >"$WORK/port" 2>"$WORK/serve.log" 3>&- &
    SERVER=$!
    wait_for 20 test -s "$WORK/port"
    LAYOUTS=127.0.0.1:$(cat "$WORK/port")
    # What the site allows is less than some of the images want.
    cat >"$WORK/slipway.yaml" <<END
limits: {image_size: 64MiB, layers: 10, entries: 1000}
registries:
  "$REGISTRY": {insecure: true}
  "$LAYOUTS": {insecure: true}
END
    export WORK SERVER LAYOUTS
}

teardown_file() { kill "$SERVER"; }

setup() {
    need_plugin
    [ -n "$REGISTRY" ] || skip "this cluster has no registry"
    STORE=$WORK/store
    CONFIG=$WORK/slipway.yaml
    BUSYBOX=docker://$REGISTRY/busybox:1
    MOUNTED=''
    # There is something in the store that could be harmed.
    [ -d "$STORE" ] || alice_slipway stage "$BUSYBOX" >/dev/null 2>&1
    BEFORE=$(listing "$STORE")
}

teardown() { [ -z "$MOUNTED" ] || umount "$MOUNTED"; }

alice_slipway() { alice env -C "$WORK" SLIPWAY_CONFIG="$CONFIG" SLIPWAY_CACHEDIR="$STORE" slipway "$@"; }
sr() { alice env -C "$WORK" SLIPWAY_CACHEDIR="$STORE" srun "$@"; }

# Every file and directory of a store, also of unfinished work, with mode, size, time and content.
listing() {
    (cd "$1" && find . -printf '%p %y %m %U %s %T@\n' | sort && find . -type f -exec sha256sum {} + | sort)
}

unchanged() {
    local after
    after=$(listing "$STORE")
    # Making and removing unfinished work changes the times of these directories.
    diff <(grep -vE '^\./(tmp|leases) d ' <<<"$BEFORE") <(grep -vE '^\./(tmp|leases) d ' <<<"$after")
}

# refused CODE COMMAND…: fails with one line of that code with a hint, and leaves the store as it was.
refused() {
    local code=$1
    shift
    run "$@"
    expect_status 255
    expect_lines 1 'error: '
    expect_lines 1 "^slipway: error: ($code): [^ ].* \\(hint: [^ ].*\\)\$"
    unchanged || { echo "the store was changed by: $*"; return 1; }
}

# exec_refused CODE COMMAND…: the same for exec, which runs nothing.
exec_refused() {
    local code=$1
    shift
    run "$@" touch "$WORK/ran"
    expect_status 255
    expect_lines 1 "^slipway: error: ($code): .* \\(hint: .*\\)\$"
    expect_lines 1 'error: '
    [ ! -e "$WORK/ran" ] || { echo "the command ran"; return 1; }
    unchanged
}

# not_run CODE IMAGE: the same for srun, and the command does not run.
not_run() {
    run sr --container-image="$2" touch "$WORK/ran"
    expect_failure
    expect_lines 1 "error: ($1): .* \\(hint: .*\\)\$"
    [ ! -e "$WORK/ran" ] || { echo "the command ran"; return 1; }
    unchanged
}

@test "images and registries that are not there, or refuse" {
    refused source-not-found alice_slipway stage "docker://$REGISTRY/nosuch:1"
    refused source-not-found alice_slipway stage "docker://$REGISTRY/busybox:nosuch"
    refused source-not-found alice_slipway stage "docker://$REGISTRY/busybox@sha256:$(printf '0%.0s' {1..64})"
    refused source-unreachable alice_slipway stage docker://127.0.0.1:1/busybox:1
    refused source-unreachable alice_slipway stage docker://nosuchhost.invalid/busybox:1
    refused platform-mismatch alice_slipway stage --platform linux/arm64 "$BUSYBOX"
    refused source-not-found alice_slipway stage oci:/nonexistent
    refused source-unreachable alice_slipway stage docker://NoSuchHost.invalid.:0443/busybox:1
    expect_output 'nosuchhost\.invalid/'
    not_run source-not-found "docker://$REGISTRY/busybox:nosuch"
    not_run source-unreachable docker://127.0.0.1:1/busybox:1
    wait_for 10 cluster_idle
}

@test "files that are not there, or are something else than they are called" {
    local file
    for file in ./missing.sif nofile.sqsh "$WORK/none.tar"; do
        refused image-not-found alice_slipway stage "$file"
        expect_output 'No such file'
    done
    refused source-not-found alice_slipway stage oci-archive:none.tar
    printf '# a comment\nBootstrap: docker\nFrom: debian:12\n' >"$WORK/Singularity"
    chmod 644 "$WORK/Singularity"
    refused unsupported alice_slipway stage ./Singularity
    expect_output 'is a definition file'
    mkdir "$WORK/saved" "$WORK/layout"
    echo '[]' >"$WORK/saved/manifest.json"
    echo '{"imageLayoutVersion":"1.0.0"}' >"$WORK/layout/oci-layout"
    echo '{"manifests":[]}' >"$WORK/layout/index.json"
    tar -cf "$WORK/saved.tar" -C "$WORK/saved" .
    tar -cf "$WORK/layout.tar" -C "$WORK/layout" .
    chmod 644 "$WORK"/*.tar
    refused source-protocol alice_slipway stage oci-archive:saved.tar
    expect_output 'is a Docker archive.*docker-archive:saved.tar'
    refused source-protocol alice_slipway stage docker-archive:layout.tar
    expect_output 'is an OCI archive.*oci-archive:layout.tar'
    refused unsupported alice_slipway stage oras://ghcr.io/a/b:1
}

@test "credentials that are missing or wrong, and right ones" {
    [ -n "${REGISTRY_TLS:-}" ] || "$CLUSTER/registry-up" "$CLUSTER_DIR" --tls --auth 'user:pa:ss' >/dev/null
    # shellcheck source=/dev/null
    . "$CLUSTER_DIR/env.sh"
    "$CLUSTER/push-images" --to "$REGISTRY_TLS" --auth "$REGISTRY_AUTH" --ca "$REGISTRY_CA" busybox >/dev/null
    local private=docker://$REGISTRY_TLS/busybox:1 user=${REGISTRY_AUTH%%:*} password=${REGISTRY_AUTH#*:}
    CONFIG=$WORK/tls.yaml
    echo "registries: {\"$REGISTRY_TLS\": {ca_file: $REGISTRY_CA}}" >"$CONFIG"
    refused source-denied alice_slipway stage "$private"
    not_run source-denied "$private"
    local -x SLIPWAY_DOCKER_USERNAME SLIPWAY_DOCKER_PASSWORD
    login() { alice env -C "$WORK" SLIPWAY_CONFIG="$CONFIG" SLIPWAY_CACHEDIR="$STORE" SLIPWAY_DOCKER_USERNAME="$user" SLIPWAY_DOCKER_PASSWORD="$1" "${@:2}"; }
    refused source-denied login nonsense-7531 slipway stage "$private"
    refute_secret nonsense-7531
    echo 'registries: {}' >"$CONFIG"
    refused source-denied login "$password" slipway stage "$private" # its certificate is not trusted
    expect_output certificate
    refute_secret "$password"
    echo "registries: {\"$REGISTRY_TLS\": {ca_file: $REGISTRY_CA}}" >"$CONFIG"
    STORE=$WORK/private
    run -0 login "$password" slipway stage "$private"
    refute_secret "$password"
    [ -z "$(grep -rlF "$password" "$STORE")" ]
}

refute_secret() { [[ $output != *"$1"* ]] || { echo "the password is in: $output"; return 1; }; }

@test "damaged, lying and hostile images of a layout" {
    local name code
    while read -r name code; do
        # What lies elsewhere is damage in a layout, not absence.
        refused "$code|source-not-found" alice_slipway stage "oci:$WORK/layouts/$name" || { echo "that was $name"; return 1; }
    done <"$WORK/faults"
}

@test "damaged, lying and hostile images of a registry" {
    local name code
    while read -r name code; do
        refused "$code" alice_slipway stage "docker://$LAYOUTS/$name:latest" || { echo "that was $name"; return 1; }
    done <"$WORK/faults"
}

@test "pull leaves no file of an image that it refuses" {
    local name code dir
    dir=$(work_dir)
    for name in wrong-diff-id gzip-bomb hard-link-outside helm-chart; do
        code=$(sed -n "s/^$name //p" "$WORK/faults")
        refused "$code" alice env -C "$dir" SLIPWAY_CONFIG="$CONFIG" SLIPWAY_CACHEDIR="$STORE" \
            slipway pull "$name.sif" "docker://$LAYOUTS/$name:latest"
        [ -z "$(ls -A "$dir")" ] || { ls -A "$dir"; return 1; }
    done
}

@test "srun and exec run nothing of such an image" {
    local name code
    for name in wrong-digest hard-link-absolute schema1 hidden-xz-layer zstd-bomb; do
        code=$(sed -n "s/^$name //p" "$WORK/faults")
        exec_refused "$code" alice_slipway exec "docker://$LAYOUTS/$name:latest"
        # srun knows the site's configuration only, and that allows large images.
        [ "$name" = zstd-bomb ] || not_run "$code" "docker://$LAYOUTS/$name:latest"
    done
    wait_for 10 cluster_idle
}

@test "paths that climb out of an image land inside of it" {
    STORE=$WORK/climbing
    run -0 --separate-stderr alice_slipway stage --print-path "oci:$WORK/layouts/climbing"
    local path=$output
    run -0 --separate-stderr alice_slipway exec "$path" cat /slipway-escaped /slipway-absolute
    [ "$output" = caughtcaught ]
    [ ! -e /slipway-escaped ]
    [ ! -e /slipway-absolute ]
    [ ! -e /tmp/slipway-through-link ]
    # A device of the image is no device, and a set-uid bit gives nothing.
    run alice_slipway exec "$path" sh -c 'cat /disk'
    expect_failure
    run -0 --separate-stderr alice_slipway exec "$path" sh -c 'while read -r _ _ _ _ at how _; do [ "$at" != / ] || echo "$how"; done </proc/self/mountinfo'
    [[ $output == *nosuid* && $output == *nodev* ]]
}

@test "a full disk" {
    [ "$(unshare -m true && echo yes)" = yes ] || skip "needs the right to mount"
    local full=$WORK/full
    mkdir "$full"
    mount -t tmpfs -o size=4m,mode=777 none "$full"
    MOUNTED=$full
    STORE=$full/store
    run -0 alice_slipway stage "$BUSYBOX"
    BEFORE=$(listing "$STORE")
    CONFIG=$SLIPWAY_CONFIG
    refused out-of-space alice_slipway stage "docker://$REGISTRY/debian-py:1"
    not_run out-of-space "docker://$REGISTRY/debian-py:1"
    # To the last block: even the smallest file does not fit.
    dd if=/dev/zero of="$full/filler" bs=4k 2>/dev/null || true
    refused out-of-space alice_slipway stage "docker://$REGISTRY/debian-py:1"
    run -0 alice_slipway exec "$BUSYBOX" echo 'still there'
    expect_output 'still there'
    rm "$full/filler"
    run -0 alice_slipway cache fsck
    expect_output '^0 problem'
}

@test "a read-only store serves what it has and takes nothing" {
    [ "$(unshare -m true && echo yes)" = yes ] || skip "needs the right to mount"
    run -0 --separate-stderr alice_slipway stage "$BUSYBOX"
    local pinned=${lines[0]}
    BEFORE=$(listing "$STORE")
    mount --bind "$STORE" "$STORE"
    MOUNTED=$STORE
    mount -o remount,bind,ro "$STORE"
    refused store-unusable alice_slipway stage "docker://$LAYOUTS/good:latest"
    not_run store-unusable "docker://$LAYOUTS/good:latest"
    run -0 --separate-stderr alice_slipway exec "$pinned" echo served
    [ "$output" = served ]
    run -0 --separate-stderr sr --container-image="$pinned" echo served
    [ "$output" = served ]
}

@test "a store that belongs to somebody else, or where nobody may write" {
    local theirs=$WORK/theirs
    mkdir -p "$theirs"
    chown "$BOB:" "$theirs"
    STORE=$theirs
    BEFORE=$(listing "$STORE")
    refused store-unusable alice_slipway stage "$BUSYBOX"
    expect_output "belongs to uid $(id -u "$BOB")"
    not_run store-unusable "$BUSYBOX"
    STORE=$theirs/below
    BEFORE=$(listing "$theirs")
    run alice_slipway stage "$BUSYBOX"
    expect_status 255
    expect_output 'error: store-unusable: .*\(hint: '
    STORE=/proc/nostore
    run alice_slipway stage "$BUSYBOX"
    expect_status 255
    expect_output 'error: store-unusable: .*\(hint: '
}

# Files of people with names like ours below DIRECTORY, of USER; foreign_files: what they are.
foreign_files() {
    printf '%s\n' tmp/notes.txt tmp/thesis/chapter1 tmp/a.99999999.b images/photo.jpg pins/map.txt grants/application.txt
}
plant_foreign() {
    local file
    foreign_files | while read -r file; do
        mkdir -p "$1/${file%/*}"
        echo "text of $file" >"$1/$file"
        chown "$2:" "$1/${file%/*}" "$1/$file"
    done
    chown "$2:" "$1"
}
foreign_listing() { (cd "$1" && foreign_files | xargs stat -c '%n %i %a %u %s %Y' && foreign_files | xargs sha256sum); }

@test "a directory in use becomes no store, and nothing in it changes" {
    STORE=$WORK/used
    plant_foreign "$STORE" "$ALICE"
    BEFORE=$(listing "$STORE")
    refused store-unusable alice_slipway stage "$BUSYBOX"
    expect_output "cannot become a store: it holds '"
    exec_refused store-unusable alice_slipway exec "$BUSYBOX"
    not_run store-unusable "$BUSYBOX"
    refused store-unusable alice_slipway cache clean --force
    refused store-unusable alice_slipway cache fsck --repair
    # The same by the site file: the user's own path, and the shared one for its owner.
    CONFIG=$WORK/in-use.yaml
    local key
    for key in user_path path; do
        echo "store: {$key: $STORE}" >"$CONFIG"
        refused store-unusable alice env -C "$WORK" SLIPWAY_CONFIG="$CONFIG" slipway stage "$BUSYBOX"
        refused store-unusable alice env -C "$WORK" SLIPWAY_CONFIG="$CONFIG" slipway cache fsck --repair
    done
}

@test "foreign files in a store are named and left, whoever sweeps, cleans and repairs" {
    local before owner
    for owner in "$ALICE" root; do
        STORE=$WORK/mixed.$owner
        as_owner() { alice_slipway "$@"; }
        [ "$owner" != root ] || as_owner() { env -C "$WORK" SLIPWAY_CACHEDIR="$STORE" slipway "$@"; }
        run -0 as_owner cache list
        plant_foreign "$STORE" "$owner"
        before=$(foreign_listing "$STORE")
        [ "$owner" = root ] || run -0 as_owner stage "$BUSYBOX"
        run -0 as_owner cache fsck --repair
        expect_lines 1 '^0 problem'
        foreign_files | while read -r file; do
            expect_lines 1 "^$STORE/${file%/chapter1}: does not belong to the store and is left alone \\(a (file|directory) that slipway has not made\\)\$"
        done
        run -0 as_owner cache clean --force
        foreign_files | while read -r file; do
            expect_lines 1 "^$STORE/${file%/chapter1}: does not belong to the store and is left alone \\("
        done
        [ "$(foreign_listing "$STORE")" = "$before" ]
    done
}

@test "a store of an earlier version is marked once and loses nothing" {
    STORE=$WORK/older
    run -0 alice_slipway stage "$BUSYBOX"
    [ "$(head -n 1 "$STORE/slipway-store")" = 'slipway image store 1' ]
    rm "$STORE/slipway-store"
    local before inode
    before=$(cd "$STORE" && find . -type f -exec sha256sum {} + | sort)
    run -0 alice_slipway cache fsck --repair
    inode=$(stat -c %i "$STORE/slipway-store")
    [ "$(cd "$STORE" && find . -type f ! -name slipway-store -exec sha256sum {} + | sort)" = "$before" ]
    run -0 alice_slipway exec "$BUSYBOX" echo still there
    [ "$(stat -c %i "$STORE/slipway-store")" = "$inode" ]
}

@test "no store through another user's link, and none in another user's directories" {
    local scratch=$WORK/scratch home=$WORK/alice-home
    mkdir -m 1777 "$scratch"
    mkdir "$home"
    chown "$ALICE:" "$home"
    ln -s "$home" "$scratch/alice"
    chown -h "$BOB:" "$scratch/alice"
    STORE=$scratch/alice/slipway
    run alice_slipway stage "$BUSYBOX"
    expect_status 255
    expect_output "error: store-unusable: .*the link 'alice' belongs to uid $(id -u "$BOB")"
    [ -z "$(ls -A "$home")" ]
    STORE=$WORK/planted
    run -0 alice_slipway cache list
    rmdir "$STORE/images"
    mkdir "$STORE/images"
    chown "$BOB:" "$STORE/images"
    BEFORE=$(listing "$STORE")
    refused store-unusable alice_slipway stage "$BUSYBOX"
    refused store-unusable alice_slipway cache list
}

@test "a FIFO in the place of a record stops nobody" {
    STORE=$WORK/fifo
    run -0 alice_slipway stage "$BUSYBOX"
    rm "$STORE"/images/*.json
    mkfifo "$STORE/images/$(basename "$STORE"/images/*.sif .sif).json"
    run -0 timeout 20 "$CLUSTER/as" "$ALICE" env -C "$WORK" SLIPWAY_CACHEDIR="$STORE" slipway images
    expect_lines 2 .
}

@test "a quota that is reached refuses new work and keeps what jobs may need" {
    # Whoever owns the site's store works in it directly, under its quota.
    local site=$WORK/site
    mkdir "$site"
    chown "$ALICE:" "$site"
    CONFIG=$WORK/quota.yaml
    cat >"$CONFIG" <<END
store: {path: $site, quota: 8MiB}
registries:
  "$REGISTRY": {insecure: true}
END
    owner() { alice env -C "$WORK" SLIPWAY_CONFIG="$CONFIG" "$@"; }
    run -0 owner slipway stage "$BUSYBOX"
    STORE=$site
    BEFORE=$(listing "$STORE")
    refused quota-exceeded owner slipway stage "docker://$REGISTRY/debian-py:1"
    expect_output 'may need up to .*, and the store.s quota is 8.0 MiB'
    exec_refused quota-exceeded owner slipway exec "docker://$REGISTRY/debian-py:1"
    run -0 owner slipway exec "$BUSYBOX" echo 'still there'
    expect_output 'still there'
}
