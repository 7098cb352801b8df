#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A launcher that waits for a server which does not answer: it ends with its step all the same, and leaves
# nothing in the way of Slurm's clean-up.
# shellcheck disable=SC2154

bats_require_minimum_version 1.5.0
load common
load spank

setup() {
    need_plugin
    wait_for 20 cluster_idle
}

teardown() {
    [ -z "${HOLDER:-}" ] || kill -KILL "$HOLDER" 2>/dev/null || true
    scancel -u "$ALICE"
    nothing_left
}

# stuck_step: a step whose launcher waits in FUSE; sets LAUNCHER and HOLDER.
stuck_step() {
    local dir binds i
    dir=$(work_dir)
    # Many look-ups, so that the launcher is still at work when its server is held.
    for i in $(seq 200); do binds+="${binds:+,}/etc/hosts:/d$i"; done
    python3 "$BATS_TEST_DIRNAME/hold_server.py" "$SLIPWAY_BUILD/libexec/slipway-launch" "$SLIPWAY_CONFIG" >"$dir/held" 2>&1 3>&- &
    HOLDER=$!
    wait_for 20 grep -q ready "$dir/held"
    alice srun -J stuck -w "$NODE1" -n1 --container-image="$(image busybox)" --container-mounts="$binds" \
        sleep 300 >"$dir/out" 2>&1 3>&- &
    wait_for 60 grep -q '^held' "$dir/held" || { cat "$dir/held" "$dir/out"; return 1; }
    LAUNCHER=$(sed -n 's/^held //p' "$dir/held")
}

launcher_is_gone() { ! kill -0 "$LAUNCHER" 2>/dev/null; }

@test "scancel ends a launcher that waits, and the step's cgroups go" {
    stuck_step
    scancel --name=stuck
    wait_for 15 launcher_is_gone
    wait_for 20 cluster_idle
    no_container_processes
    wait_for 10 no_step_cgroups
}

no_process_in_step() { [ -z "$(step_cgroups | sed -n 's,/step_0$,&/cgroup.procs,p' | xargs -r cat)" ]; }

@test "a launcher that waits does not outlive a killed slurmstepd" {
    stuck_step
    # Descriptor 4 of the launcher is the pidfd of its slurmstepd.
    kill -KILL "$(sed -n 's/^Pid:\t*//p' "/proc/$LAUNCHER/fdinfo/4")"
    wait_for 20 launcher_is_gone
    wait_for 5 no_container_processes
    wait_for 5 no_process_in_step
    scancel --name=stuck
    wait_for 30 cluster_idle
    # Slurm never removes the cgroups of a slurmstepd that was killed, container or not; nothing of
    # ours keeps anybody from doing it.
    find /sys/fs/cgroup/*/"slurm_$NODE1" -mindepth 1 -depth -type d -exec rmdir {} + 2>/dev/null || true
    no_step_cgroups
}
