# SPDX-License-Identifier: Apache-2.0
# Loaded by every test (load common). The variables of the cluster's env.sh are set: SLURM_CONF,
# CLUSTER_DIR, CLUSTER_NODES, REGISTRY, SLIPWAY_CONFIG, SLIPWAY_BUILD, TEST_USERS, TEST_GROUP.
# shellcheck shell=bash disable=SC2154  # status, output and lines are set by bats' `run`

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CLUSTER=$HERE/../cluster
export HERE CLUSTER

# use_cluster [FILE]: the cluster that the tests talk about from now on; FILE is its env.sh. Other clusters may be
# up on this machine: tests look only at the users, nodes, directories and site file of their own.
use_cluster() {
    # shellcheck source=/dev/null
    [ $# -eq 0 ] || . "$1"
    ALICE=${TEST_USERS%% *}
    BOB=${TEST_USERS##* }
    NODE1=${CLUSTER_NODES%% *}
    NODE2=$(cut -d' ' -f2 <<<"$CLUSTER_NODES")
    export ALICE BOB NODE1 NODE2
}
use_cluster

# as USER COMMAND…, with the login environment of the user.
as() { "$CLUSTER/as" "$@"; }
alice() { as "$ALICE" "$@"; }
bob() { as "$BOB" "$@"; }

# image NAME: path of a test SIF (busybox, debian, mpi).
image() { "$CLUSTER/image" "$1"; }

# hostile_layouts: path of OCI layouts of images that are small and costly (service/hostile_images.py: deep,
# attributes) and of two good ones (good1, good2), made on first use.
hostile_layouts() {
    (
        # shellcheck source=contrib/lib/common.sh
        . "$HERE/../../contrib/lib/common.sh"
        # shellcheck source=tests/cluster/lib/images.sh
        . "$CLUSTER/lib/images.sh"
        make_hostile() {
            mkdir "$1"
            "$HERE/service/hostile_images.py" "$1"
            "$HERE/layouts.py" good "$1/good1" 1
            "$HERE/layouts.py" good "$1/good2" 2
        }
        cached layouts "hostile-$(sha256sum <"$HERE/service/hostile_images.py" | cut -c 1-16)" make_hostile
    )
}

# peak_of COMMAND…: runs it; the last line of its output is "peak=MIB", of the largest process that it started.
peak_of() {
    python3 -c '
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
print("peak=%d" % (resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10))
sys.exit(code)' "$@"
}

# work_dir [USER]: a fresh directory of this test that the user (default: Alice) owns and jobs see.
# Removed with the cluster.
work_dir() {
    local user=${1:-$ALICE} dir
    mkdir -p "$CLUSTER_DIR/work"
    dir=$(mktemp -d "$CLUSTER_DIR/work/test.XXXXXX")
    chown "$user:" "$dir"
    chmod 755 "$dir"
    echo "$dir"
}

# wait_for SECONDS COMMAND…: until it succeeds; fails and says so when the time is over.
wait_for() {
    local seconds=$1 end=$((${EPOCHREALTIME/./} + $1 * 1000000))
    shift
    until "$@" >/dev/null 2>&1; do
        if [ "${EPOCHREALTIME/./}" -ge "$end" ]; then
            echo "after $seconds s still not: $*" >&2
            return 1
        fi
        sleep 0.05
    done
}

# The next three show what there was instead when they fail.
expect_status() {
    [ "$status" -eq "$1" ] || { printf 'status %s, not %s; output:\n%s\n' "$status" "$1" "$output"; return 1; }
}

# expect_failure: any status but 0, yet not one of a crash or of a missing program.
expect_failure() {
    [[ $status -ne 0 && $status -ne 127 && $status -lt 128 ]] ||
        { printf 'status %s; output:\n%s\n' "$status" "$output"; return 1; }
}

# expect_output REGEX: anywhere in the output of `run`.
expect_output() {
    [[ $output =~ $1 ]] || { printf 'no match for %s in:\n%s\n' "$1" "$output"; return 1; }
}

refuse_output() {
    [[ ! $output =~ $1 ]] || { printf 'unwanted match for %s in:\n%s\n' "$1" "$output"; return 1; }
}

# expect_lines N REGEX: exactly N lines match.
expect_lines() {
    local n
    n=$(grep -cE -- "$2" <<<"$output" || true)
    [ "$n" -eq "$1" ] || { printf '%s lines, not %s, match %s in:\n%s\n' "$n" "$1" "$2" "$output"; return 1; }
}

# Slurm confines jobs by cgroups on this machine.
need_cgroup() {
    grep -qx ProctrackType=proctrack/cgroup "$SLURM_CONF" || skip "no usable cgroup controllers on this machine"
}

# need_plugin: the cluster loads the plugin.
need_plugin() {
    grep -q spank_slipway "${SLURM_CONF%/*}/plugstack.conf" || skip "this cluster runs without the plugin"
}

# Nobody's job is running or ending, and all nodes are well.
cluster_idle() {
    [ -z "$(squeue -h -t PD,R,CG,S)" ] && ! sinfo -h -N -o %T | grep -vx idle
}

# slurmstepd of this cluster: it works in its node's spool directory, or has its log open there.
step_daemons() {
    local pid
    for pid in $(pgrep -x slurmstepd); do
        ! readlink "/proc/$pid/cwd" /proc/"$pid"/fd/* 2>/dev/null | grep -q "^$CLUSTER_DIR/" || echo "$pid"
    done
}

# Processes of the launcher that outlived their step: none may ever be there once the cluster is idle.
launchers() { pgrep -U "$ALICE,$BOB" -x 'slipway-launch|slipway-server' -a || true; }
