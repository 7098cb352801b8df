# SPDX-License-Identifier: Apache-2.0
# Starting and finding the processes of one cluster. Sourced, never run.
# shellcheck shell=bash

# start_daemon DIR NAME COMMAND…: in its own session, with a clean environment and none of our descriptors
# (a test runner waits until nobody holds its pipes). Output: DIR/log/NAME.out, pid: DIR/run/NAME.pid.
start_daemon() {
    local dir=$1 name=$2
    shift 2
    (
        cd "$dir/log" || exit 1
        exec </dev/null >"$name.out" 2>&1
        local fd
        for fd in /proc/self/fd/*; do
            fd=${fd##*/}
            [ "$fd" -le 2 ] || eval "exec $fd>&-"
        done
        # The file must be there before the daemon can be asked for: exec keeps the pid.
        exec setsid env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin SLURM_CONF="$dir/etc/slurm.conf" \
            bash -c 'echo $$ >"$1"; shift; exec "$@"' - "$dir/run/$name.pid" "$@"
    ) &
    disown
}

# wait_until SECONDS COMMAND…: polls; the daemons need tens of milliseconds, so it does not sleep long.
wait_until() {
    local end=$((${EPOCHREALTIME/./} + $1 * 1000000))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "${EPOCHREALTIME/./}" -lt "$end" ] || return 1
        sleep 0.02
    done
}

# ready_or_dead DIR NAME COMMAND…: success as soon as the command succeeds or the daemon has ended; the
# caller then asks again. So a daemon that refuses its configuration costs no waiting.
ready_or_dead() {
    local dir=$1 name=$2
    shift 2
    "$@" || { [ -s "$dir/run/$name.pid" ] && ! [ -e "/proc/$(cat "$dir/run/$name.pid")/exe" ]; }
}

port_answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Daemons and steps have their working directory, or at least an open log, in the cluster's directory. By
# name, because a person may have a shell there.
daemon_pids() {
    local pid name
    find /proc -maxdepth 2 -name cwd -lname "$1/*" 2>/dev/null | cut -d/ -f3 | while read -r pid; do
        name=$(cat "/proc/$pid/comm" 2>/dev/null || true)
        case $name in
            munged | slurmctld | slurmd | slurmstepd | docker-registry | slipway*) echo "$pid" ;;
        esac
    done
    for pid in $(for name in slurmstepd slurmd slipwayd; do pgrep -x $name || true; done); do
        ! readlink /proc/"$pid"/fd/* 2>/dev/null | grep -q "^$1/" || echo "$pid"
    done
}

# Clients that were started for this cluster and would now wait for it in vain.
client_pids() {
    local pid
    for pid in $(for name in srun salloc sbatch sattach; do pgrep -x $name || true; done); do
        ! grep -qzxF "SLURM_CONF=$1/etc/slurm.conf" "/proc/$pid/environ" 2>/dev/null || echo "$pid"
    done
}

cgroup_dirs() {
    local node
    for node in $(sed -n 's/^export CLUSTER_NODES="\(.*\)"$/\1/p' "$1/env.sh" 2>/dev/null) \
        $(cat "$1/run/nodes" 2>/dev/null); do
        find /sys/fs/cgroup -maxdepth 3 -type d -name "slurm_$node" 2>/dev/null
    done | sort -u
}

cgroup_pids() {
    local dir
    cgroup_dirs "$1" | while read -r dir; do
        find "$dir" -name cgroup.procs -exec cat {} + 2>/dev/null
    done
}

# Reads pids, prints them and everything below them in the process tree; never us or a parent of ours.
with_descendants() {
    local roots
    roots=$(tr '\n' ' ')
    ps -e -o pid=,ppid= | awk -v roots="$roots" -v self="$$" '
        { parent[$1] = $2 }
        END {
            n = split(roots, r, " ")
            for (i = 1; i <= n; i++) if (r[i] > 1) want[r[i]] = 1
            for (q = self; q in parent; q = parent[q]) ours[q] = 1
            for (p in parent)
                for (q = p; q in parent && q + 0 > 1; q = parent[q])
                    if (q in want) { if (!(p in ours)) print p; break }
        }'
}

# Everything that runs because of this cluster: daemons, steps, tasks, and what hides in the job cgroups.
cluster_pids() {
    { daemon_pids "$1"; cgroup_pids "$1"; client_pids "$1"; } | with_descendants
}
