#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# How containers end: whatever is killed, whenever, nothing remains and the next job works.
# shellcheck disable=SC2154,SC2016

bats_require_minimum_version 1.5.0
load common
load spank

setup() {
    need_plugin
    # A test that failed must not take the next ones along.
    scancel -u "$ALICE"
    wait_for 20 cluster_idle
}

teardown() {
    nothing_left
    run alice srun -N2 -n2 --container-image="$(image busybox)" echo next
    expect_status 0
    expect_lines 2 '^next$'
}

# container_job SECONDS [sbatch options…]: starts a batch job with one containerised step on both nodes and
# waits until its tasks run; prints the job's number.
container_job() {
    local seconds=$1 dir job
    shift
    dir=$(work_dir)
    job=$(alice sbatch --parsable -N2 -n4 -o "$dir/out" "$@" --container-image="$(image busybox)" \
        --wrap "srun -n4 sh -c 'echo up; trap \"\" USR1; sleep $seconds'")
    wait_for 20 sh -c "[ \$(grep -c '^up\$' $dir/out) -eq 4 ]" || { cat "$dir/out" >&2; return 1; }
    echo "$job"
}

launcher_pids() { pgrep -f -- "^slipway-launch step .*--config $SLIPWAY_CONFIG" || true; }

@test "scancel ends everything" {
    local job
    job=$(container_job 300)
    [ -n "$(launcher_pids)" ]
    scancel "$job"
    wait_for 15 cluster_idle
}

@test "scancel while a container is being started" {
    local sif pid
    sif=$(image busybox)
    for delay in 0.05 0.1 0.15 0.2 0.3; do
        alice srun -J started -N2 -n8 --container-image="$sif" sleep 300 >/dev/null 2>&1 3>&- &
        pid=$!
        sleep "$delay"
        # Again and again, because the first may come before there is a job.
        wait_for 20 sh -c "scancel --name=started; ! kill -0 $pid 2>/dev/null"
    done
    wait_for 15 cluster_idle
}

@test "a signal for the tasks does not hit the container" {
    local job
    job=$(container_job 300)
    scancel -s USR1 "$job.0"
    scancel -s TERM "$job.0" || true
    wait_for 20 cluster_idle
}

@test "a suspended job goes on" {
    local job
    job=$(container_job 4)
    scontrol suspend "$job"
    sleep 1
    scontrol resume "$job"
    wait_for 30 cluster_idle
}

@test "the time limit ends everything" {
    local dir
    dir=$(work_dir)
    # Limits are whole minutes; the controller is made to see this one as over.
    local job
    job=$(container_job 300 --time=1)
    scontrol update job="$job" TimeLimit=0 2>/dev/null || true
    scontrol update job="$job" EndTime=now 2>/dev/null || true
    wait_for 90 cluster_idle
}

@test "srun that is interrupted, killed or loses its terminal" {
    local sif signal pid
    sif=$(image busybox)
    for signal in INT TERM KILL HUP; do
        alice env --default-signal=INT,HUP srun -J "signal$signal" -n2 -N2 --container-image="$sif" sleep 300 \
            >/dev/null 2>&1 3>&- &
        wait_for 10 sh -c "[ \$(pgrep -u $ALICE -f -c 'sleep 300\$') -ge 2 ]"
        pid=$(pgrep -u "$ALICE" -f "^srun -J signal$signal" | head -1)
        kill -"$signal" "$pid"
        [ "$signal" != INT ] || { sleep 0.1; kill -INT "$pid" || true; }
        wait_for 10 sh -c "! kill -0 $pid 2>/dev/null"
        # A killed srun cannot report it; Slurm notices by itself in time.
        [ "$signal" != KILL ] || scancel --name="signal$signal"
        wait_for 20 cluster_idle
    done
}

no_tasks() { ! pgrep -u "$ALICE" -r S,R,D -f '(^|/)sleep 300$'; }

@test "slurmstepd is killed: tasks, server and launcher go with it" {
    local job pid pids=()
    job=$(container_job 300)
    for pid in $(step_daemons); do # other clusters may have a job of the same number
        ! grep -q "slurmstepd: \[$job.0\]" "/proc/$pid/cmdline" || pids+=("$pid")
    done
    [ "${#pids[@]}" -eq 2 ]
    kill -KILL "${pids[@]}"
    wait_for 5 no_container_processes
    wait_for 5 no_tasks # Slurm itself would leave them running for ever
    scancel "$job"
    wait_for 30 cluster_idle
    # Slurm never removes the cgroups of a slurmstepd that was killed, container or not.
    find /sys/fs/cgroup -depth -type d -path "*/uid_$(id -u "$ALICE")/job_$job*" -exec rmdir {} + 2>/dev/null || true
}

@test "the launcher is killed: running tasks go on or fail, the step ends" {
    local job pid
    job=$(container_job 300)
    for pid in $(launcher_pids); do kill -KILL "$pid" 2>/dev/null || true; done
    wait_for 5 no_container_processes
    scancel "$job"
    wait_for 20 cluster_idle
}

@test "the image's server is killed: tasks fail, the step ends, a later step has a new one" {
    local sif dir
    sif=$(image busybox)
    dir=$(work_dir)
    cat >"$dir/job" <<END
#!/bin/bash
srun -n1 --container-image=$sif sh -c 'echo up; sleep 2; ls / ; echo \$?' &
while ! pgrep -f -- '--config $SLIPWAY_CONFIG' >/dev/null; do sleep 0.1; done
sleep 1
touch $dir/now
wait
srun -n1 --container-image=$sif echo later
END
    local job server parent
    job=$(alice sbatch --parsable -o "$dir/out" "$dir/job")
    wait_for 15 test -e "$dir/now"
    # The server is the child of the launcher.
    for parent in $(launcher_pids); do
        for server in $(pgrep -P "$parent"); do kill -KILL "$server"; done
    done
    wait_for 30 grep -q later "$dir/out"
    wait_for 20 cluster_idle
    [ -n "$job" ]
}

@test "a task runs out of memory" {
    need_cgroup
    local sif
    sif=$(image busybox)
    run alice srun -n2 -N1 --mem=60 --container-image="$sif" sh -c 'if [ $SLURM_PROCID = 0 ]; then tail /dev/zero; else sleep 2; ls /bin >/dev/null && echo other; fi'
    expect_failure
    expect_output 'Out Of Memory|oom|Killed'
}

@test "slurmd restarts under a running container" {
    local job node pid
    job=$(container_job 6)
    node=$NODE1
    pid=$(pgrep -f "slurmd -D -N $node ")
    kill -TERM "$pid"
    wait_for 10 sh -c "! kill -0 $pid 2>/dev/null"
    setsid slurmd -D -N "$node" -f "$SLURM_CONF" >>"$CLUSTER_DIR/log/$node.out" 2>&1 3>&- &
    wait_for 30 sh -c "[ \"\$(scontrol ping >/dev/null; sinfo -h -n $node -o %T)\" != down* ]"
    wait_for 30 cluster_idle
    [ -n "$job" ]
}

@test "daemons that tasks leave behind do not keep the container" {
    local sif
    sif=$(image busybox)
    run alice srun -n2 -N2 --container-image="$sif" sh -c 'sleep 300 >/dev/null 2>&1 </dev/null & setsid sleep 300 >/dev/null 2>&1 </dev/null & echo done'
    expect_status 0
    expect_lines 2 '^done$'
}

@test "300 steps in a row do not slow down and leave nothing" {
    local sif dir
    sif=$(image busybox)
    dir=$(work_dir)
    cat >"$dir/job" <<END
#!/bin/bash
fds() { ls /proc/\$(pgrep -f 'slurmd -D -N $NODE1 ')/fd 2>/dev/null | wc -l; }
for i in \$(seq 1 300); do
    start=\${EPOCHREALTIME/./}
    srun -n1 --container-image=$sif true || echo "FAILED \$i"
    echo "step \$((\${EPOCHREALTIME/./} - start))"
done
END
    run alice sbatch --wait -N1 -o "$dir/out" "$dir/job"
    expect_status 0
    run cat "$dir/out"
    refuse_output FAILED
    expect_lines 300 '^step [0-9]+$'
    # The fastest of the last hundred against the fastest of the first: noise of the machine stays out.
    local first last
    first=$(grep '^step' "$dir/out" | head -100 | cut -d' ' -f2 | sort -n | sed -n 10p)
    last=$(grep '^step' "$dir/out" | tail -100 | cut -d' ' -f2 | sort -n | sed -n 10p)
    echo "tenth fastest of the first and of the last hundred steps: $first and $last us" >&3
    [ "$last" -lt $((first * 3 / 2 + 5000)) ]
}
