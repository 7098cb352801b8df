#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# One container, two doors: what `slipway exec` makes at the prompt is what srun makes in a job.
# shellcheck disable=SC2154,SC2016

bats_require_minimum_version 1.5.0
load common
load spank

setup_file() {
    image busybox >/dev/null
    image debian >/dev/null
    host_mounts >"$BATS_FILE_TMPDIR/mounts"
    user_files >"$BATS_FILE_TMPDIR/files"
}

setup() { need_plugin; }

teardown() { nothing_left; }

# both SCRIPT [--bind SRC:DST]: the outputs of the two doors, in $prompt and $job.
both() {
    local script=$1 sif
    sif=$(image debian)
    shift
    local exec_options=() srun_options=()
    if [ $# -eq 2 ]; then
        exec_options=(--bind "$2")
        srun_options=(--container-mounts "$2")
    fi
    prompt=$(alice env -C /tmp slipway exec "${exec_options[@]}" "$sif" sh -c "$script" 2>&1)
    job=$(alice env -C /tmp srun -n1 --container-image="$sif" "${srun_options[@]}" sh -c "$script" 2>&1)
}

same() {
    [ "$prompt" = "$job" ] || { diff <(echo "$prompt") <(echo "$job"); return 1; }
    [ -n "$prompt" ]
}

@test "both doors mount the same" {
    # Mount ids, device numbers and what the host mounts below its own directories may differ.
    both "cut -d' ' -f5,6 /proc/self/mountinfo | grep -v -E '^/(sys|proc|dev)/' | sort"
    same
}

@test "both doors mount what the user asks for in the same way" {
    local dir
    dir=$(work_dir)
    echo content >"$dir/file"
    both "cat /data/deep/file; stat -c '%U %a' /data/deep; ls /data; ls -d /opt /srv; cut -d' ' -f5,6 /proc/self/mountinfo | grep data" \
        --bind "$dir:/data/deep:ro"
    same
    [[ $prompt == content* ]]
}

@test "both doors give the same environment but for Slurm's part" {
    both "env | grep -v -E '^(SLURM|PMI|SRUN_|_=|SHLVL|PWD|OLDPWD|TMPDIR|SINGULARITY_COMMAND|APPTAINER_COMMAND|SLIPWAY_|HOSTNAME|KRB5|CUDA|ROCR|GPU_|ZE_)' | sort"
    same
}

@test "both doors find the same people in /etc/passwd and /etc/group" {
    both "cat /etc/passwd; grep -c . /etc/group; whoami; cd ~ && pwd"
    # At the prompt only the primary group can be mapped; the job keeps all of them.
    [ "$(grep -v -E '^[0-9]+$' <<<"$prompt")" = "$(grep -v -E '^[0-9]+$' <<<"$job")" ]
    [[ $prompt == *"$ALICE"* ]]
}

@test "slipway exec works inside a job and inside a container's job step" {
    local sif
    sif=$(image busybox)
    run alice srun -n2 slipway exec "$sif" sh -c 'echo "$SLURM_PROCID in $SLIPWAY_CONTAINER"'
    expect_status 0
    expect_lines 1 "^0 in .*busybox"
    expect_lines 1 "^1 in .*busybox"
}

@test "many at once: thirty containers start together and all end" {
    local sif i pids=()
    sif=$(image busybox)
    for i in $(seq 30); do
        alice slipway exec "$sif" sh -c "exit 0" &
        pids+=($!)
    done
    for i in "${pids[@]}"; do wait "$i"; done
    wait_for 5 no_servers
}

# Living processes that serve an image; zombies have no command line.
no_servers() { ! pgrep -f -u "$ALICE" 'slipway exec' >/dev/null; }

@test "a hundred starts in a row leave nothing" {
    local sif
    sif=$(image busybox)
    run alice sh -c "i=0; while [ \$i -lt 100 ]; do slipway exec $sif true || exit 1; i=\$((i+1)); done"
    expect_status 0
    wait_for 5 no_servers
}

@test "Ctrl-C reaches the command and not its files" {
    local sif
    sif=$(image debian)
    # A terminal's interrupt goes to the whole foreground group; the trap then reads from the image.
    # (A shell that starts with SIGINT ignored, as in a background job, cannot trap it.)
    run alice env --default-signal=INT setsid -w slipway exec "$sif" sh -c 'trap "cat /etc/debian_version; exit 3" INT; kill -INT 0; sleep 5'
    expect_status 3
    expect_output '^[0-9]+'
}

@test "users and files in /etc can be changed in a writable container, through both doors" {
    local sif script
    sif=$(image debian)
    script='useradd -M -N added && grep -o "^added:" /etc/passwd && cp /etc/hosts /etc/new && mv /etc/new /etc/hosts && ln -sf /etc/debian_version /etc/localtime && echo replaced'
    prompt=$(alice slipway exec --writable-tmpfs "$sif" sh -c "$script" 2>&1)
    job=$(alice srun -n1 --container-image="$sif" --container-writable sh -c "$script" 2>&1)
    same
    [ "$prompt" = $'added:\nreplaced' ]
}

@test "nothing that an image's environment scripts or tasks start outlives the step" {
    local dir mark=54321.$$
    dir=$(work_dir)
    "$CLUSTER/rootfs" busybox "$dir/tree"
    mkdir -p "$dir/tree/.singularity.d/env"
    printf 'setsid sleep %s &\n(setsid sh -c "sleep %s & sleep %s" &)\nexport X=$(id -u)\n' "$mark" "$mark" "$mark" \
        >"$dir/tree/.singularity.d/env/91-daemon.sh"
    run alice srun -n1 --container-image="$dir/tree" sh -c "setsid sleep $mark & echo begun"
    expect_status 0
    expect_output begun
    wait_for 5 no_process_named "$mark"
}

no_process_named() { ! pgrep -f "^sleep $1" >/dev/null; }
