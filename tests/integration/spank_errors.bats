#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What goes wrong at people's hands: one clear line with a hint, the right exit code, nothing on the host,
# nothing left behind, and the nodes stay well.
# shellcheck disable=SC2154,SC2016

bats_require_minimum_version 1.5.0
load common
load spank

setup() { need_plugin; }

teardown() { nothing_left; }

# refused CODE ARGUMENTS…: an srun that must fail before or instead of the command.
refused() {
    local code=$1
    shift
    run alice srun -n1 "$@" echo RAN
    expect_status 1
    expect_one_error "$code"
}

@test "an image that is not there" {
    refused image-not-found --container-image=/nonexistent.sif
    run alice srun -N2 -n8 --container-image=/nonexistent.sif echo RAN
    expect_status 1
    expect_lines 2 '^slipway: error: image-not-found: ' # one line per node, not per task
    refuse_output RAN
}

@test "a file that is no image, an empty one, a cut one, a directory that is not readable" {
    local dir
    dir=$(work_dir)
    head -c 100000 /dev/urandom >"$dir/garbage.sif"
    : >"$dir/empty.sif"
    head -c 40000 "$(image busybox)" >"$dir/cut.sif"
    mkdir -m 700 "$dir/secret"
    refused 'image-[a-z]+' --container-image="$dir/garbage.sif"
    refused 'image-[a-z]+' --container-image="$dir/empty.sif"
    refused 'image-[a-z]+' --container-image="$dir/cut.sif"
    refused 'image-[a-z]+' --container-image="$dir/secret"
    mkfifo "$dir/fifo"
    refused 'image-[a-z]+' --container-image="$dir/fifo"
    refused 'image-[a-z]+' --container-image=/dev/zero
    refused 'image-[a-z]+' --container-image=/etc/shadow
}

@test "an image for another architecture" {
    [ -f "${SLIPWAY_SAMPLES:-}/busybox_ppc64le.sif" ] || skip "needs the sample images"
    local dir
    dir=$(work_dir)
    cp "$SLIPWAY_SAMPLES/busybox_ppc64le.sif" "$dir/"
    refused image-architecture --container-image="$dir/busybox_ppc64le.sif"
}

@test "a command that the image does not have" {
    local sif
    sif=$(image busybox)
    run alice srun -n4 -N1 --container-image="$sif" no-such-command
    expect_status 2
    expect_one_error command-not-found
    run alice srun -n1 --container-image="$sif" /no/such/command
    expect_status 2
    expect_one_error command-not-found
    run alice srun -n1 --container-image="$sif" /etc/passwd
    expect_status 13
    expect_one_error command-not-found
}

@test "mounts: a source that is missing or not readable, a target that leaves the image" {
    local dir sif
    dir=$(work_dir)
    sif=$(image busybox)
    mkdir "$dir/closed" && chmod 700 "$dir/closed" && mkdir "$dir/closed/inner"
    refused mount-source-missing --container-image="$sif" --container-mounts=/nonexistent:/mnt
    refused mount-source-missing --container-image="$sif" --container-mounts="$dir/closed/inner:/mnt"
    refused 'mount-(target-invalid|invalid)' --container-image="$sif" --container-mounts="$dir:/mnt/../../etc"
    refused 'mount-(target-invalid|invalid)' --container-image="$sif" --container-mounts="$dir:relative"
    refused 'mount-(target-invalid|invalid)' --container-image="$sif" --container-mounts="$dir:/"
    refused 'mount-invalid' --container-image="$sif" --container-mounts="$dir:/mnt:no-such-flag"
}

@test "a mount target that is a symlink in the image never reaches the host" {
    local dir
    dir=$(work_dir)
    "$CLUSTER/rootfs" busybox "$dir/root"
    mkdir "$dir/bait" "$dir/source"
    echo mine >"$dir/source/file"
    ln -s "$dir/bait" "$dir/root/escape"
    run alice srun -n1 --container-image="$dir/root" --container-mounts="$dir/source:/escape" sh -c 'echo IN; ls /escape/'
    # Resolved inside the image or refused: either way nothing of it is to be seen outside.
    [ -z "$(ls -A "$dir/bait")" ]
    if [ "$status" -ne 0 ]; then expect_one_error 'mount-[a-z-]+'; else expect_lines 1 '^file$'; fi
}

@test "a working directory that does not exist" {
    local sif
    sif=$(image busybox)
    refused workdir-missing --container-image="$sif" --container-workdir=/no/such/dir
    run alice srun -N1 -n16 --container-image="$sif" --container-workdir=/no/such/dir echo RAN
    expect_status 1
    expect_one_error workdir-missing
}

@test "options that are malformed, contradictory or out of place" {
    local sif
    sif=$(image busybox)
    refused option-invalid --container-image=
    refused mount-invalid --container-image="$sif" --container-mounts=nonsense,,
    refused option-invalid --container-image="$sif" --container-mounts=
    refused option-invalid --container-image="$sif" --container-env=
    refused option-invalid --container-image="$sif" --container-workdir=
    refused option-conflict --container-image="$sif" --container-writable --container-readonly
    refused option-conflict --container-image="$sif" --container-mount-home --no-container-mount-home
    refused option-invalid --container-image="$sif" --container-workdir=relative
    refused option-invalid --container-image="$sif" --container-mount-home=perhaps
    refused option-invalid --container-image="$sif" --container-env=A=B
    refused option-invalid --container-image=$'/a\nb'
    refused option-conflict --container-writable
    refused option-invalid --container-image="$sif" --container-writable=2
}

@test "sbatch and salloc refuse them before anything is queued" {
    local command option
    for command in "sbatch --wrap=true" "salloc true"; do
        # shellcheck disable=SC2086
        run alice ${command%% *} --container-image= ${command#* }
        expect_status 1
        expect_one_error option-invalid
    done
    for option in --container-mounts=./d:relative --container-mounts=/a:/proc --container-mounts=/a:/b:r0 \
        --container-mounts=d:/d --container-mounts= --container-workdir= --container-env= \
        '--container-readonly --container-writable'; do
        # shellcheck disable=SC2086
        run alice sbatch --container-image=/x.sif $option --wrap=true
        expect_status 1
        expect_one_error '(option|mount)-[a-z-]+'
    done
    run alice sbatch --container-batch --wrap=true
    expect_status 1
    expect_one_error option-conflict
    [ -z "$(squeue -h)" ]
}

@test "a relative mount source counts from where sbatch is called, and alone it is its own target" {
    local dir sif
    dir=$(work_dir)
    sif=$(image busybox)
    mkdir "$dir/d" && echo content >"$dir/d/file"
    cat >"$dir/job" <<END
#!/bin/sh
#SBATCH --container-image=$sif
#SBATCH --container-mounts=./d,./d:/mnt:ro
cd /
srun -n1 cat /mnt/file $dir/d/file
END
    run alice sh -c "cd $dir && sbatch --wait --chdir=/ -o $dir/out job"
    expect_status 0
    run cat "$dir/out"
    expect_lines 2 '^content$'
}

@test "container options without an image never run on the host" {
    local dir name=_SLURM_SPANK_OPTION_slipway_container_mounts
    dir=$(work_dir)
    refused option-conflict --container-mounts=/tmp:/mnt
    run alice env "$name=/tmp:/mnt" srun -n1 echo RAN
    expect_status 1
    expect_one_error option-conflict
    # --export sets it behind the back of srun, so the node has to find it.
    run alice srun -N2 -n4 --export="ALL,$name=/tmp:/mnt" echo RAN
    expect_status 1
    expect_lines 2 '^slipway: error: option-conflict: '
    refuse_output RAN
    # What users have in their profile says only what containers look like if there are any.
    run alice env SLIPWAY_CONTAINER_MOUNTS=/tmp:/mnt PYXIS_CONTAINER_WRITABLE=1 srun -n1 echo fine
    expect_status 0
    expect_lines 1 '^fine$'
    # And so does sbatch without an image: its sruns may name one.
    run alice sh -c "cd $dir && sbatch --wait -o out --container-mounts=/tmp:/mnt --wrap 'srun -n1 echo plain; srun -n1 --container-image=$(image busybox) ls -d /mnt/.; srun -n1 --container-image=none echo none'"
    expect_status 0
    run cat "$dir/out"
    expect_lines 1 '^plain$'
    expect_lines 1 '^/mnt/\.$'
    expect_lines 1 '^none$'
    wait_for 15 cluster_idle # no node is drained or down
}

@test "a value of a megabyte is refused where it is read" {
    local dir
    dir=$(work_dir)
    { echo '#!/bin/sh'; printf '#SBATCH --container-image=/%s\n' "$(head -c 1000000 /dev/zero | tr '\0' x)"; echo 'echo RAN'; } >"$dir/job"
    run alice sbatch "$dir/job"
    [ "$status" -ne 0 ]
    [ "${#output}" -lt 2000 ]
    [ -z "$(squeue -h)" ]
    refused option-too-long --container-image="/$(head -c 100000 /dev/zero | tr '\0' x)"
    refused option-too-long --container-image=/x --container-mounts="/$(head -c 5000 /dev/zero | tr '\0' x):/mnt"
}

@test "variables of Slurm's own, set by hand, are checked again on the node" {
    local name=_SLURM_SPANK_OPTION_slipway_container_image value
    for value in '' relative docker://x $'/a\nb' "/$(head -c 100000 /dev/zero | tr '\0' x)"; do
        run alice env "$name=$value" srun -n1 echo RAN
        expect_status 1
        expect_one_error 'option-[a-z-]+'
    done
    run alice env "$name=/nonexistent.sif" srun -N2 -n4 echo RAN
    expect_status 1
    expect_lines 2 '^slipway: error: image-not-found'
    refuse_output RAN
    run alice env "$name=$(image busybox)" srun -n1 sh -c 'readlink -f /bin/sh'
    expect_status 0
    expect_lines 1 busybox
}

@test "the plugin's own variable, set by hand, neither harms nor opens anything" {
    local dir value
    dir=$(work_dir)
    for value in rubbish 'path=/x' 'path=relative;container-image=x' \
        'path=/nonexistent.sif;container-image=x;container-batch=on'; do
        # srun itself takes it away again: it belongs to srun.
        run alice env SLURM_SLIPWAY_SETTINGS="$value" srun -n1 echo fine
        expect_status 0
        expect_lines 1 '^fine$'
        # --export sets it behind sbatch's back.
        run alice sbatch --wait -D "$dir" -o out --export="ALL,SLURM_SLIPWAY_SETTINGS=$value" --wrap 'echo RAN'
        expect_status 1
        run cat "$dir/out"
        expect_one_error '(option-invalid|image-not-found)'
    done
}

@test "a directory that is gone, a home that is gone" {
    local dir sif
    dir=$(work_dir)
    sif=$(image busybox)
    mkdir "$dir/gone" && chown "$ALICE:" "$dir/gone"
    run alice sh -c "cd $dir/gone && rmdir ../gone && srun -n1 --container-image=./x.sif echo RAN"
    [ "$status" -ne 0 ] # srun itself gives up, with 255
    refuse_output '(^|[^ ])RAN$'
    run alice sh -c "cd $dir && srun -n1 --chdir=/nonexistent --container-image=$sif pwd"
    expect_status 0 # as without a container: Slurm goes to /tmp
}

@test "an environment near the limit of the system still starts, one beyond it is refused" {
    local sif
    sif=$(image busybox)
    run alice bash -c "export \$(for i in \$(seq 1 12); do echo BIG_\$i=\$(head -c 100000 /dev/zero | tr '\\0' x); done); srun -n1 --container-image=$sif sh -c 'echo \${#BIG_7}'"
    expect_status 0
    expect_lines 1 '^100000$'
}
