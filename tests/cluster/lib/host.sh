# SPDX-License-Identifier: Apache-2.0
# What clusters do to their host: each takes a slot (ports, node names, two ordinary users of its own),
# and all share the mode of /dev/fuse and one group. Every change is made under one lock and undone by the
# cluster that goes down, or by the last one. Sourced, never run.
# shellcheck shell=bash

HOST_STATE=/run/slipway-cluster
TEST_GROUP=slipwaylab
# Marks users that `up` made, so that `down` never removes anybody else's (also after a reboot).
USER_MARK="Slipway test user"
SLOT_PORTS=50 # ports per cluster: see slot_port
FIRST_PORT=21000 # below the range from which the kernel picks ports for outgoing connections
MAX_SLOTS=200

with_host_lock() {
    mkdir -p "$HOST_STATE/slots"
    # The descriptor must not reach daemons: they would hold the lock for as long as they live.
    { flock -w 60 9 || die "another cluster holds $HOST_STATE/lock"; "$@" 9>&-; } 9>"$HOST_STATE/lock"
}

# slot_port SLOT NAME: 0 controller, 1 and 2 registries, 3 service, from 10 on one per node.
slot_port() {
    local base=$((FIRST_PORT + $1 * SLOT_PORTS))
    case $2 in
        slurmctld) echo "$base" ;;
        registry) echo $((base + 1)) ;;
        registry-tls) echo $((base + 2)) ;;
        service) echo $((base + 3)) ;;
        node*) echo $((base + 9 + ${2#node})) ;;
    esac
}

port_is_free() {
    ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

slot_is_free() {
    local slot=$1 nodes=$2 what
    if [ -e "$HOST_STATE/slots/$slot" ]; then
        # A cluster whose directory is gone was removed by hand.
        [ ! -d "$(sed -n 's/^dir=//p' "$HOST_STATE/slots/$slot")" ] || return 1
    fi
    for what in slurmctld registry registry-tls service node1 "node$nodes"; do
        port_is_free "$(slot_port "$slot" "$what")" || return 1
    done
}

# Prints the number of a slot that is now ours. $1 directory, $2 nodes, $3 yes if /dev/fuse is to be opened.
take_slot() {
    local slot
    for ((slot = 0; slot < MAX_SLOTS; slot++)); do
        if slot_is_free "$slot" "$2"; then
            printf 'dir=%s\nfuse=%s\n' "$1" "$3" >"$HOST_STATE/slots/$slot"
            echo "$slot"
            return
        fi
    done
    die "no free block of ports below $((FIRST_PORT + MAX_SLOTS * SLOT_PORTS))"
}

# Users of their own: clusters side by side share neither homes nor processes.
users_of_slot() { echo "slipwayalice$1 slipwaybob$1"; }

add_users() {
    local user
    getent group "$TEST_GROUP" >/dev/null || groupadd "$TEST_GROUP"
    for user in $(users_of_slot "$1"); do
        getent passwd "$user" >/dev/null && continue
        useradd --create-home --skel /nonexistent --shell /bin/bash --user-group --groups "$TEST_GROUP" \
            --comment "$USER_MARK" "$user"
    done
}

remove_users() {
    local user
    for user in $(users_of_slot "$1"); do
        [ "$(getent passwd "$user" | cut -d: -f5)" = "$USER_MARK" ] || continue
        # Only tests of this cluster can have started something as this user.
        pkill -KILL -U "$user" || true
        userdel --remove --force "$user" 2>/dev/null || say "could not remove the user $user"
    done
}

# udev makes /dev/fuse 0666 on every distribution; a machine without udev has what the kernel made, 0600.
open_fuse() {
    local mode
    [ -c /dev/fuse ] || { say "there is no /dev/fuse: containers cannot be mounted here"; return 0; }
    mode=$(stat -c %a /dev/fuse)
    [ "$mode" != 666 ] || return 0
    echo "$mode" >"$HOST_STATE/fuse_mode"
    chmod 666 /dev/fuse
    say "/dev/fuse had mode $mode; 666 while a cluster is up"
}

restore_fuse() {
    [ -f "$HOST_STATE/fuse_mode" ] || return 0
    ! grep -qx 'fuse=yes' "$HOST_STATE"/slots/* 2>/dev/null || return 0
    chmod "$(cat "$HOST_STATE/fuse_mode")" /dev/fuse
    say "/dev/fuse has mode $(cat "$HOST_STATE/fuse_mode") again"
    rm -f "$HOST_STATE/fuse_mode"
}

# enter_host DIR NODES FUSE: prints the slot.
enter_host() {
    local slot
    [ "$3" != yes ] || open_fuse
    slot=$(take_slot "$@")
    add_users "$slot" >&2
    echo "$slot"
}

# leave_host DIR: gives back the slot, and the host's own state when nobody else needs the change.
leave_host() {
    local file others=
    for file in "$HOST_STATE"/slots/*; do
        [ -e "$file" ] || continue
        local dir
        dir=$(sed -n 's/^dir=//p' "$file")
        if [ "$dir" = "$1" ] || [ ! -d "$dir" ]; then
            remove_users "${file##*/}"
            rm -f "$file"
        else
            others=yes
        fi
    done
    restore_fuse
    [ -n "$others" ] || groupdel "$TEST_GROUP" 2>/dev/null || true
}
