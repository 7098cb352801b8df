# SPDX-License-Identifier: Apache-2.0
# What the scripts of store_nfs.bats may use inside the machine. Runs the script that it is given.
# shellcheck shell=bash disable=SC2034,SC1090,SC1091
set -euo pipefail
. /run/env.sh
INTEGRATION=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CLUSTER=${INTEGRATION%/*}/cluster
EXPORT=/srv/slipway-nfs # what the server has: no cache lies between
ALICE=${TEST_USERS%% *}
STORE=$EXPORT/alice/store
LOG=/run/layouts.log
# An image of a registry, and another one whose layers come when let_go says so.
PLAIN=docker://127.0.0.1:$(cat /run/layouts.port)/small:latest
HELD=docker://127.0.0.1:$(cat /run/layouts.port)/gate-middle:latest
cd /

# at a|b COMMAND…: as Alice on one of the two hosts, with a store of her own on its mount.
mapfile -t ALICE_ENV < <("$CLUSTER/as" "$ALICE" env)
at() {
    local host=$1
    shift
    unshare --uts sh -c 'hostname "host$1"; shift; exec "$@"' sh "$host" setpriv --reuid "$ALICE" --regid "$ALICE" \
        --init-groups env -i "${ALICE_ENV[@]}" SLIPWAY_CACHEDIR="/mnt/$host/alice/store" "$@"
}

# at HOST "${CLOCK[@]}" FAKETIME=+2d COMMAND…: with another clock.
CLOCK=(env LD_PRELOAD=/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1 FAKETIME_DONT_RESET=1)

fail() { echo "FAILED: $*"; exit 1; }

# until_true SECONDS COMMAND…
until_true() {
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -le "$end" ] || fail "after a long time still not: $*"
        sleep 0.05
    done
}

lease_there() { [ -s "$(find "$STORE/leases" -type f 2>/dev/null | head -n 1)" ]; }
empty() { [ -z "$(find "$@" -mindepth 1 2>/dev/null)" ]; }
images() { find "$STORE/images" -name '*.sif' | wc -l; }
clean() { rm -rf "$STORE" "$NFS_DIR/layouts/open" /tmp/enough /tmp/go; }
mark() { MARK=$(wc -l <"$LOG"); }
# How often the most wanted layer was fetched since mark. (The small blobs are configurations: whoever
# wants an image reads its own.)
most_fetched() {
    tail -n "+$((MARK + 1))" "$LOG" | awk '/ .*\/blobs\// && $3 > 100000 {
        if (++seen[$2] > most) most = seen[$2]
    } END { print most + 0 }'
}

# held_worker HOST: starts a stage of $HELD there and returns when it has its lease and waits for a
# layer. Sets WORKER (its process) and JOB. let_go: the layer comes.
held_worker() {
    at "$1" slipway stage "$HELD" >/tmp/worker.out 2>&1 &
    JOB=$!
    until_true 20 lease_there
    WORKER=$(awk '{ print $3 }' "$STORE"/leases/*)
}
let_go() { touch "$NFS_DIR/layouts/open"; }

. "$1"
