# SPDX-License-Identifier: Apache-2.0
# More helpers for the tests of the plugin; loaded after common.
# shellcheck shell=bash disable=SC2154  # status, output and lines are set by bats' `run`

# Processes of this cluster's containers. Zombies have no command line and do not count: an init process
# that is slow to reap is not our leak.
container_processes() { pgrep -f -a -- "--config $SLIPWAY_CONFIG" || true; }

no_container_processes() { [ -z "$(container_processes)" ]; }

# What the cluster's users have in places that outlive a job (their homes apart).
user_files() {
    find /tmp /var/tmp /dev/shm /run -mindepth 1 -maxdepth 1 \( -user "$ALICE" -o -user "$BOB" \) 2>/dev/null | sort
}

# … beyond what was there before this file's tests.
user_litter() { comm -13 "$BATS_FILE_TMPDIR/files" <(user_files); }

# Cgroups of steps, and those that a step of this file's tests has left behind.
all_step_cgroups() {
    local node
    for node in $CLUSTER_NODES; do
        find /sys/fs/cgroup/*/slurm_"$node" -mindepth 1 -type d -name 'step_*' 2>/dev/null
    done | sort
}

step_cgroups() { comm -13 "$BATS_FILE_TMPDIR/cgroups" <(all_step_cgroups); }

no_step_cgroups() { [ -z "$(step_cgroups)" ]; }

# Mounts on the host that come from this cluster: in its directory, or a FUSE mount of one of its users.
host_mounts() {
    grep -cE " $CLUSTER_DIR/|user_id=($(id -u "$ALICE")|$(id -u "$BOB"))," /proc/self/mountinfo || true
}

setup_file() {
    image busybox >/dev/null 2>&3
    host_mounts >"$BATS_FILE_TMPDIR/mounts"
    user_files >"$BATS_FILE_TMPDIR/files"
    all_step_cgroups >"$BATS_FILE_TMPDIR/cgroups"
}

# The machine is as it was: no process, mount, cgroup or file is left, all nodes are well.
nothing_left() {
    wait_for 15 cluster_idle || { squeue; sinfo -N -o '%N %T %E'; return 1; }
    wait_for 5 no_container_processes || { container_processes; return 1; }
    [ -z "$(user_litter)" ] || { echo "left behind:"; user_litter; return 1; }
    wait_for 5 no_step_cgroups || { step_cgroups; return 1; }
    local before
    before=$(cat "$BATS_FILE_TMPDIR/mounts")
    [ "$(host_mounts)" -le "$before" ] || { echo "mounts: $before before"; cat /proc/self/mountinfo; return 1; }
}

# expect_one_error CODE: exactly one line of ours per node that answered, with that code and a hint, and
# nothing ran on the host (jobs of these tests say "RAN").
expect_one_error() {
    local n
    n=$(grep -c '^slipway: error: ' <<<"$output" || true)
    [ "$n" -eq 1 ] || { printf '%s error lines, not 1, in:\n%s\n' "$n" "$output"; return 1; }
    expect_lines 1 "^slipway: error: $1: .*\(hint: "
    refuse_output '(^|[^ ])RAN$'
    refuse_output 'failed with rc='
}
